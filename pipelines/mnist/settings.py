"""Types and ranges of params.yaml's `projects.mnist`."""

from pydantic import Field

from roadmap.config.settings import DataSettings, ModelSettings


class Data(DataSettings):
    pass


class Model(ModelSettings):
    width: int = Field(ge=1, le=512, description="channels of the first convolution")
    lr: float = Field(gt=0, le=10, description="peak of the one-cycle schedule")
    weight_decay: float = Field(ge=0)
    shift: int = Field(ge=0, le=8, description="augmentation: largest shift in pixels")
