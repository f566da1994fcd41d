"""Types and ranges of params.yaml's `projects.cifar10`."""

from pydantic import Field

from roadmap.config.settings import DataSettings, ModelSettings


class Data(DataSettings):
    path: str | None = Field(description="a local CIFAR-10 archive, or a folder of its batch files")
    rows: int = Field(ge=100, le=1_000_000, description="of the generated sample")


class Model(ModelSettings):
    width: int = Field(ge=1, le=512, description="channels of the first layers; the later ones are multiples of it")
    lr: float = Field(gt=0, le=10, description="peak of the schedule, per batch")
    weight_decay: float = Field(ge=0)
    smoothing: float = Field(ge=0, lt=1, description="label smoothing")
    shift: int = Field(ge=0, le=8, description="augmentation: largest shift in pixels")
    cutout: int = Field(ge=0, le=32, description="augmentation: edge of a square that is blanked; 0 for none")
    average: float = Field(ge=0, lt=1, description="decay per step of the average of the weights")
