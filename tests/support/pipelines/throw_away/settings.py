from pydantic import Field

from roadmap.config.settings import ModelSettings, TableSettings


class Data(TableSettings):
    pass


class Model(ModelSettings):
    hidden: list[int] = Field(description="widths of the hidden layers")
    dropout: float = Field(ge=0, lt=1)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
