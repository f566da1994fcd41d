"""Types and ranges of params.yaml's `projects.word2vec`."""

from pydantic import Field

from roadmap.config.settings import DataSettings, ModelSettings


class Data(DataSettings):
    """`split` is of the sentences: train, and validation loss. The test questions are not from the text, so the third
    share is learnt from too."""

    path: str | None = Field(description="a text file of your own, UTF-8; null for the project's texts")
    sentences: int = Field(ge=100, le=10_000_000, description="of the generated sample")
    min_count: int = Field(ge=1, description="rarer words are left out")
    window: int = Field(ge=1, le=20, description="words of context on either side, at most")
    subsample: float = Field(gt=0, le=1, description="words more frequent than this share are thinned out")
    block: int = Field(ge=4, le=256, description="words of a block, see models/word2vec.py")
    width: int = Field(ge=2, le=2048, description="values of a vector, of the network's and of the baselines'")


class Model(ModelSettings):
    strategies = ()  # its vectors are changed in place

    cbow: bool = Field(description="predict a word from its context; else, skip-gram, the context from the word")
    lr: float = Field(gt=0, le=1, description="at the start; it falls to 0")
    most: float = Field(ge=1, description="pairs of a batch that may add up in one vector")
