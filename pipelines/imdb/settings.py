"""Types and ranges of params.yaml's `projects.imdb`."""

from pathlib import PurePath

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, ModelSettings

TABLES = ("csv", "tsv", "jsonl")


def kind_of(path: str) -> str:
    """The suffix, in small letters."""
    return PurePath(path).suffix.lower().removeprefix(".")


class Data(DataSettings):
    path: str | None = Field(
        description="a folder or archive with a folder per class, a table (.csv, .tsv, .jsonl) of your own, or "
        "chnsenticorp; null for aclImdb"
    )
    text: str | None = Field(description="the text column, if `path` is a table")
    target: str | None = Field(description="the column of the classes, if `path` is a table")
    rows: int = Field(ge=100, le=1_000_000, description="of the generated sample")
    vocabulary: int = Field(ge=100, le=200_000, description="size of the vocabulary, learned from the training texts")
    max_tokens: int = Field(ge=8, le=4096, description="per text; longer ones are truncated")

    @model_validator(mode="after")
    def _a_table_names_its_columns(self) -> "Data":
        table = self.path is not None and kind_of(self.path) in TABLES
        if table and not (self.text and self.target):
            raise ValueError("path is a table: text and target must name its columns")
        if not table and (self.text or self.target):
            said = ", ".join(f".{kind}" for kind in TABLES)
            raise ValueError(f"text and target name the columns of a table ({said}), but path is not one")
        return self


class Model(ModelSettings):
    width: int = Field(ge=1, le=2048, description="of the token embeddings")
    hidden: int = Field(ge=1, le=2048, description="of the recurrent state per direction")
    dropout: float = Field(ge=0, lt=1, description="of embedding channels, over whole texts, and of pooled features")
    word_dropout: float = Field(ge=0, lt=1, description="fraction of tokens replaced by the unknown token in training")
    lr: float = Field(gt=0, le=1, description="peak of the one-cycle schedule")
    weight_decay: float = Field(ge=0)
