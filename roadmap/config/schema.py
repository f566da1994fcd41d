"""The typed schema of params.yaml. `roadmap/config/check.py` makes a `Run` of it."""

import hashlib
import json
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

CRON = r"^(@(hourly|daily|weekly|monthly|yearly)|\S+( +\S+){4})$"
SHIPPED = "shipped"  # the model that goes into the bundle, beside its variants


class Strict(BaseModel):
    """A block of params.yaml: unknown keys are errors, values cannot change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Strict):
    """What every project's `data:` block has; projects add their own keys."""

    split: tuple[float, float, float] = Field(description="shares of train, validation and test rows")

    @model_validator(mode="after")
    def _shares_add_up(self) -> "DataSettings":
        if not (min(self.split) > 0 and abs(sum(self.split) - 1) <= 1e-6):  # NaN fails too
            raise ValueError(f"split must be three positive shares that add up to 1, found {list(self.split)}")
        return self


class TableSettings(DataSettings):
    """`data:` of a tabular project: the embedded sample, the official table, or the user's own CSV."""

    path: str | None = Field(description="a CSV file of your own; null for the project's data set")
    target: str | None = Field(description="the column to predict in `path`")

    @model_validator(mode="after")
    def _path_names_target(self) -> "TableSettings":
        if (self.path is None) != (self.target is None):
            raise ValueError("path and target go together: a CSV needs the name of its target column")
        return self


class ModelSettings(Strict):
    """What every project's `model:` block has: the class, the rest are its keyword arguments.

    A field of type `EarlierNetwork` is no argument, but a network that is trained before this one.
    """

    target_: str = Field(alias="_target_", pattern=r"^models\.\w+\.\w+$")

    def earlier(self) -> dict[str, "EarlierNetwork"]:
        """The networks that are trained before this one, by name and in order."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in fields.items() if isinstance(value, EarlierNetwork)}

    def kwargs(self) -> dict[str, Any]:
        return self.model_dump(exclude={"target_", *self.earlier()})


class TrainSettings(Strict):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=65_536)
    val_batch_size: int | None = Field(default=None, ge=1, description="null for 1,024 rows or batch_size")
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches whose gradients make one step")
    clip: float | None = Field(default=None, gt=0, description="longest gradient, by its norm")
    bf16: bool = Field(default=False, description="bfloat16 autocast on CPUs that have instructions for it")
    threads: int | None = Field(ge=1, le=1024, description="CPU threads; null for all cores. Small networks want one")


class EarlierNetwork(ModelSettings):
    """A network that is trained before the model: an autoencoder before the diffusion, a reward before the policy."""

    train: TrainSettings

    def kwargs(self) -> dict[str, Any]:
        return self.model_dump(exclude={"target_", "train"})


class GateSettings(Strict):
    """What a model must show before it may become `champion`."""

    floor: float = Field(description="the headline metric must be at least this (at most, where lower is better)")
    effect: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="the gain over the champion, in units of the headline, that must be exceeded with 95% confidence; "
        "a negative one lets an equal model pass, or one that loses so much",
    )
    margin: float = Field(ge=0, description="what it may lose in a slice, or on the old rows where it gains on recent")
    latency_ms: float = Field(gt=0, description="95th percentile of one request, in milliseconds")
    size_mb: float = Field(gt=0, description="all files of the bundle, in millions of bytes")


class MonitorSettings(Strict):
    """How the project is watched in production. `enabled: false` is the kill switch."""

    enabled: bool = Field(default=True, description="whether the prediction log is looked at, and drift retrains")
    schedule: str | None = Field(default="0 6 * * *", pattern=CRON, description="when, as cron has it (UTC)")
    window_days: float = Field(default=7, gt=0, le=366, description="how far back the log is read")
    min_rows: int = Field(default=200, ge=20, description="answers of the champion without which nothing is said")
    max_rows: int = Field(default=1_000, ge=20, description="so many of the latest are read")
    alpha: float = Field(default=0.02, gt=0, lt=0.5, description="false alarms of a quiet window, all columns together")
    gap: float = Field(default=0.1, ge=0, lt=1, description="what differs by less is no drift")
    cooldown_days: float = Field(default=1, ge=0, description="after a retraining none is asked for so long")
    budget: int = Field(default=4, ge=0, description="retrainings in 30 days, at most")

    @model_validator(mode="after")
    def _rows_in_order(self) -> "MonitorSettings":
        if self.max_rows < self.min_rows:
            raise ValueError(f"max_rows ({self.max_rows}) must be at least min_rows ({self.min_rows})")
        return self


Data = TypeVar("Data", bound=DataSettings)
Model = TypeVar("Model", bound=ModelSettings)


class ProjectSettings(Strict, Generic[Data, Model]):
    """A project's block; pipelines/<project>/settings.py says what its `Data` and `Model` are."""

    network: str = Field(pattern=r"^\w+$", description="the file in models/ that training depends on")
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
        block = self.settings.model_dump(mode="json", by_alias=True, exclude={"gate", "monitor", "schedule", "runner"})
        return {"profile": self.profile, "seed": self.seed, **block}

    def params_sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.params(), sort_keys=True).encode()).hexdigest()
