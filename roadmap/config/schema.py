"""params.yaml as a whole, typed. `roadmap/config/check.py` makes a `Run` of it."""

import hashlib
import json
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from roadmap.config.limits import CRON, GateSettings, MonitorSettings
from roadmap.config.settings import DataSettings, ModelSettings, Strict, TrainSettings

SHIPPED = "shipped"  # the model that goes into the bundle, beside its variants

Data = TypeVar("Data", bound=DataSettings)
Model = TypeVar("Model", bound=ModelSettings)


class ProjectSettings(Strict, Generic[Data, Model]):
    """A project's block; pipelines/<project>/settings.py says what its `Data` and `Model` are."""

    network: str = Field(pattern=r"^models/\w+(\.py)?$", description="the file that training depends on, or a folder")
    inference: str = Field(
        pattern=r"^roadmap/inference(/\w+)?$", description="the part of roadmap/inference that its predictor stands on"
    )
    schedule: str | None = Field(
        default=None,
        pattern=CRON,
        description="when Airflow runs it by itself, as cron has it (UTC); null for never",
    )
    runner: str = Field(
        default="local", pattern=r"^\w+$", description="where training runs: `local`, or a file of roadmap/runners/"
    )
    data: Data
    model: Model
    train: TrainSettings
    variants: dict[str, dict[str, Any]] = Field(description="name -> model settings that differ")
    gate: GateSettings
    monitor: MonitorSettings = MonitorSettings()


EXCLUDED = {"gate", "monitor", "schedule", "runner", "network", "inference"}  # what no model is made of


class Run(Strict):
    """One stage of one project, checked."""

    name: str
    profile: Literal["sample", "full"]
    seed: int = Field(ge=0, lt=2**31)
    settings: ProjectSettings[Any, Any]
    models: dict[str, Any] = Field(description="the shipped model and each variant, by name")
    trainer: dict[str, Any]
    tracking: dict[str, Any]
    rollback: bool | str = Field(default=False, description="true for the version before, or a bundle's version")

    @property
    def data(self) -> Path:
        return Path("data") / self.name

    @property
    def feedback(self) -> Path:
        return Path("feedback") / self.name

    @property
    def artifacts(self) -> Path:
        return Path("artifacts") / self.name

    def params(self) -> dict[str, Any]:
        """What defines the model, as plain values: logged, hashed, compared."""
        block = self.settings.model_dump(mode="json", by_alias=True, exclude=EXCLUDED)
        return {"profile": self.profile, "seed": self.seed, **block}

    def params_sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.params(), sort_keys=True).encode()).hexdigest()
