"""Types and ranges of params.yaml's `projects.stocks`."""

from datetime import date

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, ModelSettings


class Data(DataSettings):
    path: str | None = Field(description="your own folder of <SYMBOL>*.csv; null for the project's dataset")
    live: list[str] | None = Field(description="symbols to download from Yahoo Finance; needs the extra `live`")
    until: date | None = Field(description="last day to use")
    symbols: int = Field(ge=1, le=1000, description="of the generated sample")
    days: int = Field(ge=1000, le=100_000, description="trading days of the generated sample")

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if self.path is not None and self.live is not None:
            raise ValueError("path and live are mutually exclusive; set one of them")
        if self.live is not None and (not self.live or len(set(self.live)) < len(self.live)):
            raise ValueError(f"live must be a list of distinct symbols, found {self.live}")
        return self


class Model(ModelSettings):
    hidden: int = Field(ge=1, le=1024, description="width of the network")
    dropout: float = Field(ge=0, lt=1)
    direction: bool = Field(description="whether the history moves the median as well as the width")
    lr: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
