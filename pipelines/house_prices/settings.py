"""Types and ranges of params.yaml's `projects.house_prices`."""

from typing import Literal

from pydantic import Field

from roadmap.config.settings import ModelSettings, TableSettings


class Data(TableSettings):
    rows: int = Field(ge=100, le=1_000_000, description="rows of the generated sample")


class Model(ModelSettings):
    optimizer: Literal["svd", "gd", "momentum", "adam"]
    lr: float = Field(gt=0, le=10)
    l2: float = Field(ge=0, description="ridge penalty")
