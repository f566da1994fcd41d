"""What is served: every bundle found, with its predictor, or with the reason why it has none."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from serving import problems
from serving.bundle import MANIFEST, Bundle, BundleError, Predictor, load_predictor
from serving.problems import Refusal

log = logging.getLogger("serving")


class Card(BaseModel):
    """A model and where it comes from. One that was refused has a reason, and a lineage if its bundle is sound."""

    name: str
    status: Literal["ready", "refused"]
    reason: str | None = None
    version: str | None = None
    size: int | None = Field(default=None, description="of the bundle's files, in bytes")
    project: str | None = None
    predictor: str | None = None
    runtime: Literal["onnx", "torch"] | None = None
    profile: Literal["sample", "full"] | None = None
    source: str | None = Field(default=None, description="the data set it was trained on")
    created: str | None = Field(default=None, description="ISO 8601, UTC")
    git_commit: str | None = None
    data_sha256: str | None = None
    params_sha256: str | None = None
    run: str | None = Field(default=None, description="id of the training run, the tag `run` in MLflow")


class Model:
    """A bundle and its predictor, or the reason why there is none.

    Nothing that one bundle does at its start may keep the others from being served.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.bundle: Bundle | None = None
        self.reason: str | None = None
        try:
            self.bundle = Bundle(folder)
            if self.bundle.manifest.project != name:
                raise BundleError(f"{folder}: is a bundle of {self.bundle.manifest.project}")
            self.predictor: Predictor = load_predictor(self.bundle)
            self.request = self._named("request", self.predictor.Request)
            self.response = self._named("response", self.predictor.Response)
            self.example = self.bundle.example
            self.example_outputs = self.outputs([self.request.model_validate(one) for one in self.example])
        except BundleError as error:
            self.reason = str(error)
        except Refusal as refusal:
            self.reason = f"{folder}: does not answer its own example: {refusal.detail}"
        except Exception as error:
            log.exception("%s: no predictor can stand on this bundle", folder)
            self.reason = f"{folder}: {type(error).__name__}: {error}"

    def _named(self, role: str, base: type[BaseModel]) -> type[BaseModel]:
        """The same type under a name of its own, since OpenAPI shows all projects on one page."""
        return create_model(f"{self.name}_{role}", __base__=base)

    def outputs(self, inputs: Sequence[BaseModel]) -> list[dict[str, Any]]:
        """The predictor's answers as JSON holds them.

        Raises:
            Refusal: an answer is NaN or infinite, as of numbers so large that the arithmetic overflows.
        """
        outputs = [output.model_dump() for output in self.predictor.predict(inputs)]
        if len(outputs) != len(inputs):
            raise RuntimeError(f"{self.name} gave {len(outputs)} answers to {len(inputs)} inputs")
        if not finite(outputs):
            bad = [index for index, output in enumerate(outputs) if not finite(output)]
            said = "the model's answer is not a finite number; is a value far outside what it was trained on?"
            errors = [{"pointer": problems.pointer(("inputs", index)), "detail": said} for index in bad]
            raise Refusal(422, f"inputs/{bad[0]}: {said}", errors=errors[: problems.MAX_ERRORS])
        return outputs

    def card(self) -> Card:
        if self.bundle is None:
            return Card(name=self.name, status="refused", reason=self.reason)
        manifest = self.bundle.manifest
        return Card(
            name=self.name,
            status="refused" if self.reason else "ready",
            reason=self.reason,
            version=manifest.version,
            size=sum((self.bundle.folder / name).stat().st_size for name in manifest.files),
            **manifest.model_dump(exclude={"files"}),
        )


def finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def find(folder: Path) -> dict[str, Model]:
    """Every <folder>/<project>/bundle, opened."""
    manifests = sorted(folder.glob(f"*/bundle/{MANIFEST}"))
    return {path.parts[-3]: Model(path.parent, path.parts[-3]) for path in manifests}
