"""Types and ranges of params.yaml's `projects.titanic`."""

from typing import Annotated

from pydantic import Field

from roadmap.config.settings import ModelSettings, TableSettings


class Data(TableSettings):
    pass


class Model(ModelSettings):
    hidden: list[Annotated[int, Field(ge=1, le=4096)]] = Field(
        description="widths of the hidden layers; [] for logistic regression"
    )
    dropout: float = Field(ge=0, lt=1)
    lr: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
