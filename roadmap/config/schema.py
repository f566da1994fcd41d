"""The typed schema of params.yaml: `check` makes a `Run` of what Hydra composed, or says in one line what is wrong."""

import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from roadmap.config.errors import UsageError, nearest

PROFILES = ("sample", "full")
TOP = ("profile", "seed", "projects", "project", "trainer", "tracking", "rollback")
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
    """What every project's `model:` block has: the class, the rest are its keyword arguments."""

    target_: str = Field(alias="_target_", pattern=r"^models\.\w+\.\w+$")

    def kwargs(self) -> dict[str, Any]:
        return self.model_dump(exclude={"target_"})


class TrainSettings(Strict):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=65_536)
    val_batch_size: int | None = Field(default=None, ge=1, description="null for 1,024 rows or batch_size")
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches whose gradients make one step")
    clip: float | None = Field(default=None, gt=0, description="longest gradient, by its norm")
    bf16: bool = Field(default=False, description="bfloat16 autocast on CPUs that have instructions for it")
    threads: int | None = Field(ge=1, le=1024, description="CPU threads; null for all cores. Small networks want one")


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


class Project(Strict, Generic[Data, Model]):
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
    project: Project[Any, Any]
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

    def module(self, part: str) -> Any:
        """pipelines.<project>.<part>, imported when needed."""
        return importlib.import_module(f"pipelines.{self.name}.{part}")

    def params(self) -> dict[str, Any]:
        """What defines the model, as plain values: logged, hashed, compared."""
        block = self.project.model_dump(mode="json", by_alias=True, exclude={"gate", "monitor", "schedule", "runner"})
        return {"profile": self.profile, "seed": self.seed, **block}

    def params_sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.params(), sort_keys=True).encode()).hexdigest()


def for_profile(node: Any, profile: str, where: str = "") -> Any:
    """Replaces every `{sample: a, full: b}` by the value for `profile`."""
    if isinstance(node, dict):
        if node and set(node) <= set(PROFILES):
            if profile not in node:
                raise UsageError(f"params.yaml: {where}: found {node}; a value for '{profile}' is missing")
            return for_profile(node[profile], profile, where)
        return {
            key: for_profile(value, profile, f"{where}.{key}" if where else str(key)) for key, value in node.items()
        }
    if isinstance(node, list):
        return [for_profile(value, profile, where) for value in node]
    return node


def check(raw: dict[str, Any]) -> Run:
    """The composed configuration as a `Run`. Every project's block is checked, not only the one that runs.

    Raises:
        UsageError: naming file, key, what was found and what is allowed.
    """
    profile, names = raw.get("profile"), list(raw.get("projects") or {})
    if profile not in PROFILES:
        raise UsageError(f"params.yaml: profile: found {profile!r}; {nearest(str(profile), list(PROFILES))}")
    if raw.get("project") not in names:
        raise UsageError(
            f"command line: project: found {raw.get('project')!r}; {nearest(str(raw.get('project')), names)}"
        )
    projects = {
        name: _check_project(name, for_profile(raw["projects"][name], profile, f"projects.{name}")) for name in names
    }
    top = {key: value for key, value in raw.items() if key not in ("projects", "project")}
    for key in top:
        if key not in TOP:
            raise UsageError(f"params.yaml: {key}: unknown key; {nearest(str(key), list(TOP))}")
    project, models = projects[raw["project"]]
    return _validated(Run, {**top, "name": raw["project"], "project": project, "models": models}, "")


def _check_project(name: str, block: dict[str, Any]) -> tuple[Project[Any, Any], dict[str, ModelSettings]]:
    where = f"projects.{name}"
    try:
        settings = importlib.import_module(f"pipelines.{name}.settings")
    except ModuleNotFoundError as error:
        raise UsageError(f"params.yaml: {where}: needs pipelines/{name}/settings.py ({error})") from None
    schema: Any = Project
    project = _validated(schema[settings.Data, settings.Model], block, where)
    if SHIPPED in project.variants:
        raise UsageError(f"params.yaml: {where}.variants.{SHIPPED}: that is the model itself; choose another name")
    runners = ["local", *sorted(path.stem for path in Path("roadmap/runners").glob("[a-z]*.py"))]
    if project.runner not in runners:
        found = f"found {project.runner!r}; {nearest(project.runner, runners)}"
        raise UsageError(f"params.yaml: {where}.runner: {found}")
    models = {SHIPPED: project.model}
    for variant, changes in project.variants.items():
        models[variant] = _validated(settings.Model, {**block["model"], **changes}, f"{where}.variants.{variant}")
    for variant, model in models.items():
        at = f"{where}.model" if variant == SHIPPED else f"{where}.variants.{variant}"
        _check_class(f"params.yaml: {at}._target_", model.target_, project.network)
    return project, models


def _check_class(where: str, target: str, network: str) -> None:
    """The class must stand in models/<network>.py. It is looked for as text: importing would cost a stage PyTorch."""
    module, _, cls = target.rpartition(".")
    path = Path(f"models/{network}.py")
    if module != f"models.{network}":
        raise UsageError(f"{where}: found {target!r}; must name a class of {path}, since network is {network!r}")
    if not path.exists():
        raise UsageError(f"{where}: found {target!r}; there is no {path}")
    classes = re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)
    if cls not in classes:
        raise UsageError(f"{where}: found {target!r}; {nearest(cls, classes)}")


def _validated(schema: type[BaseModel], block: Any, where: str) -> Any:
    try:
        return schema.model_validate(block)
    except ValidationError as error:
        raise UsageError(_one_line(schema, error, where)) from None


def _one_line(schema: type[BaseModel], error: ValidationError, where: str) -> str:
    """The first mistake in words: file, key, found, allowed."""
    # A misspelt key is an unknown one and a missing one: the former says what to do.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join([where] * bool(where) + [str(part) for part in first["loc"]])
    if first["type"] == "extra_forbidden":
        owner = schema
        for part in first["loc"][:-1]:
            owner = _field_type(owner, str(part)) or owner
        known = [field.alias or name for name, field in owner.model_fields.items()]
        return f"params.yaml: {key}: unknown key; {nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"params.yaml: {key}: missing"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    found = "" if first["type"] == "value_error" else f"found {first['input']!r}; "
    return f"params.yaml: {key}: {found}{message}"


def _field_type(owner: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = owner.model_fields.get(name)
    candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
