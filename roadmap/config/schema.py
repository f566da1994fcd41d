"""The schema of params.yaml. roadmap/config/check.py validates against it."""

import hashlib
import json
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from roadmap.config.limits import CRON, GateSettings, MonitorSettings
from roadmap.config.settings import (
    DataSettings,
    ExportSettings,
    ModelSettings,
    Precision,
    Strict,
    TrainerSettings,
    TrainSettings,
)
from roadmap.io.json import JsonObject

SHIPPED = "shipped"  # the model in the bundle, as opposed to its variants

Data = TypeVar("Data", bound=DataSettings)
Model = TypeVar("Model", bound=ModelSettings)


class ProjectSettings(Strict, Generic[Data, Model]):
    """A project's block; pipelines/<project>/settings.py defines its `Data` and `Model`."""

    network: str = Field(pattern=r"^models/\w+(\.py)?$", description="file or folder of the network")
    inference: str = Field(
        pattern=r"^roadmap/inference(/\w+|/__init__\.py)?$",
        description="the part of roadmap/inference that its predictor uses; its __init__.py for none",
    )
    schedule: str | None = Field(
        default=None,
        pattern=CRON,
        description="cron expression of scheduled Airflow runs, UTC; null for none",
    )
    runner: str = Field(
        default="local", pattern=r"^\w+$", description="where training runs: `local`, or a file of roadmap/runners/"
    )
    data: Data
    model: Model
    train: TrainSettings
    variants: dict[str, dict[str, Any]] = Field(description="name -> overridden model settings")
    export: ExportSettings = ExportSettings()
    gate: GateSettings
    monitor: MonitorSettings = MonitorSettings()


EXCLUDED = {"gate", "monitor", "schedule", "runner", "network", "inference"}  # blocks that do not affect the model


class TrackingSettings(Strict):
    """Where runs are tracked: conf/tracking."""

    mlflow: bool = False
    wandb: bool = Field(default=False, description="Weights & Biases, beside MLflow")
    system_metrics: bool = Field(default=False, description="MLflow records CPU, memory and GPU during training")


class Run(Strict):
    """One validated run of a stage for a project."""

    name: str
    profile: Literal["sample", "full"]
    seed: int = Field(ge=0, lt=2**31)
    settings: ProjectSettings[Any, Any]
    models: dict[str, Any] = Field(description="the shipped model and each variant, by name")
    trainer: TrainerSettings
    tracking: TrackingSettings = TrackingSettings()
    candidate: str | None = Field(default=None, pattern=r"^\w+$", description="a bundle beside the trained one")
    precision: Precision | None = Field(default=None, description="of a candidate to make; null for export.precision")
    rollback: bool | str = Field(default=False, description="true for the previous version, or a bundle's version")

    @property
    def data(self) -> Path:
        return Path("data") / self.name

    @property
    def feedback(self) -> Path:
        return Path("feedback") / self.name

    @property
    def home(self) -> Path:
        """The project's results."""
        return Path("artifacts") / self.name

    @property
    def artifacts(self) -> Path:
        """The results of this bundle: the trained one, or a candidate beside it."""
        return self.home / "candidates" / self.candidate if self.candidate else self.home

    def params(self) -> JsonObject:
        """The parameters that define the model, as plain values: logged, hashed and compared."""
        block = self.settings.model_dump(mode="json", by_alias=True, exclude=EXCLUDED)
        return {"profile": self.profile, "seed": self.seed, **block}

    def params_sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.params(), sort_keys=True).encode()).hexdigest()
