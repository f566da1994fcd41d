"""The `data:`, `model:` and `train:` blocks of params.yaml. Defaults here are inputs of stages."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from roadmap.io.json import JsonObject

Precision = Literal["fp32", "fp16", "bf16", "int8_dynamic", "int8_static", "int8_weights", "int4_weights"]


class Strict(BaseModel):
    """A block of params.yaml: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Strict):
    """The `data:` block of every project; projects add their own keys.

    choice: the key by whose value others may differ, `{<value>: a, <value>: b, other: c}`
    """

    choice: ClassVar[str | None] = None

    split: tuple[float, float, float] = Field(description="fractions of train, validation and test rows")

    @model_validator(mode="after")
    def _shares_add_up(self) -> "DataSettings":
        if not (min(self.split) > 0 and abs(sum(self.split) - 1) <= 1e-6):  # NaN fails too
            raise ValueError(f"split must be three positive fractions that add up to 1, found {list(self.split)}")
        return self


class TableSettings(DataSettings):
    """`data:` of a tabular project: the embedded sample, the official dataset, or your own CSV."""

    path: str | None = Field(description="your own CSV file; null for the project's dataset")
    target: str | None = Field(description="the column to predict in `path`")
    gaps: tuple[str, ...] | None = Field(
        None, description="words that are gaps in every column of `path`; null: NA, null and the like, unless frequent"
    )
    keep: tuple[str, ...] = Field((), description="columns of `path` to learn from though they look like identifiers")

    @model_validator(mode="after")
    def _path_names_target(self) -> "TableSettings":
        if (self.path is None) != (self.target is None):
            raise ValueError("path and target go together: a CSV needs the name of its target column")
        return self


class TrainerSettings(BaseModel):
    """roadmap/config/conf/trainer: how many processes train, and what each of them has. Other keys are Lightning's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    accelerator: str = "cpu"
    devices: int | str = Field(description="processes of this machine, or Lightning's `auto`")
    precision: str
    strategy: str = Field("auto", description="`ddp`, one of LAYOUTS, or another of Lightning's")
    zero: Literal[2, 3] = Field(3, description="of fsdp and hybrid: 2 keeps the weights between forward and backward")
    tensor: int = Field(1, ge=1, description="processes that share each matrix")
    pipeline: int = Field(1, ge=1, description="stages of consecutive layers")
    microbatches: int = Field(4, ge=1, le=1024, description="of a pipeline: parts of a batch, at most so many")
    schedule: Literal["gpipe", "1f1b"] = Field("1f1b", description="of a pipeline")

    @property
    def way(self) -> str | None:
        """How several processes train; None for one. Lightning's default is ddp, of which it has variants."""
        if self.devices == 1 and getattr(self, "num_nodes", 1) == 1:
            return None
        return "ddp" if self.strategy.startswith(("auto", "ddp")) else self.strategy

    @property
    def data(self) -> int:
        """Processes with other rows each."""
        return int(self.devices) // (self.tensor * self.pipeline)

    @model_validator(mode="after")
    def _sizes_make_up_the_processes(self) -> "TrainerSettings":
        parts = self.tensor * self.pipeline
        if self.strategy in LAYOUTS and (not isinstance(self.devices, int) or self.devices % parts):
            raise ValueError(f"devices must be a multiple of tensor x pipeline = {parts}, found {self.devices}")
        return self

    def lightning(self) -> JsonObject:
        """The arguments of Lightning's Trainer."""
        return self.model_dump(exclude={"zero", "tensor", "pipeline", "microbatches", "schedule"})


LAYOUTS = ("fsdp", "tensor", "pipeline", "hybrid")  # of roadmap/training/strategies


class ModelSettings(Strict):
    """The `model:` block of every project: the class; the other keys are its keyword arguments.

    A field of type `EarlierNetwork` is not an argument but a network that is trained before this one.
    """

    strategies: ClassVar[tuple[str, ...]] = ("ddp",)  # how several processes may train it

    target_: str = Field(alias="_target_", pattern=r"^models(\.\w+)+\.\w+$")

    @classmethod
    def of(cls, target: str) -> "type[ModelSettings]":
        """The settings of the class `target`, for a project whose networks don't share them."""
        return cls

    def refuses(self, trainer: TrainerSettings) -> str | None:
        """Why several processes can't train it in this way; None if they can."""
        if trainer.way is None or trainer.way in self.strategies:
            return None
        return f"{self.target_} allows {', '.join(self.strategies) or 'one process only'}"

    def earlier(self) -> dict[str, "EarlierNetwork"]:
        """The networks trained before this one, by name and in order."""
        return {name: value for name, value in self.networks().items() if value.enabled}

    def kwargs(self) -> JsonObject:
        return self.model_dump(exclude={"target_", *self.networks()})

    def networks(self) -> dict[str, "EarlierNetwork"]:
        """As `earlier`, with those that are not enabled."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in fields.items() if isinstance(value, EarlierNetwork)}


class TrainSettings(Strict):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=65_536)
    val_batch_size: int | None = Field(default=None, ge=1, description="null for 1,024 rows or batch_size")
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches per optimizer step")
    clip: float | None = Field(default=None, gt=0, description="largest gradient norm")
    bf16: bool = Field(default=False, description="bfloat16 autocast, on CPUs that support it")
    threads: int | None = Field(
        ge=1, le=1024, description="CPU threads; null for all cores. One is fastest for small networks"
    )


class ExportSettings(Strict):
    """The `export:` block: the precision of the graphs in the bundle."""

    precision: Precision = Field("fp32", description="of weights and products; docs/en/quantisation.md has a table")
    keep: tuple[str, ...] = Field((), description="layers that stay fp32, such as `head` or `blocks.0.*`")
    rows: int = Field(128, ge=8, le=4096, description="training rows that int8_static observes activations on")


class EarlierNetwork(ModelSettings):
    """A network that is trained before the model: an autoencoder before a diffusion model, a reward before a policy."""

    enabled: bool = Field(default=True, description="false: it isn't trained, and the model does without")
    train: TrainSettings

    def kwargs(self) -> JsonObject:
        return self.model_dump(exclude={"target_", "train", "enabled"})
