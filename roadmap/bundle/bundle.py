"""The bundle: a folder that training writes once and every predictor reads.

bundle.json    the manifest: the model's origin and the sha256 of every other file
model.onnx     the graphs; tokenizers, scalers and indexes are JSON or safetensors, never pickles
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roadmap.bundle.code import code_sha256
from roadmap.bundle.sessions import ON_CPU, Execution, open_session
from roadmap.io.errors import UsageError, of_file
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MANIFEST = "bundle.json"


class BundleError(UsageError):
    """The bundle must not be served; the message names the file at fault."""


class Manifest(BaseModel):
    """A bundle's origin and contents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    predictor: str = Field(pattern=r"^pipelines\.[a-z][a-z0-9_]*\.predict$", description="module of the predictor")
    runtime: Literal["onnx", "torch"] = "onnx"
    profile: Literal["sample", "full"]
    source: str = Field(description="the dataset it was trained on")
    created: str = Field(description="ISO 8601, UTC")
    git_commit: str | None
    data_sha256: str
    params_sha256: str
    weights_sha256: str | None = Field(default=None, description="of the published weights that training started from")
    run: str = Field(description="id of the training run; the tag `run` in MLflow")
    precision: str = Field(default="fp32", description="of the graphs; roadmap/config/settings.py lists them")
    quantised_from: str | None = Field(default=None, description="version of the fp32 bundle that has the same weights")
    code_sha256: str | None = Field(
        default=None, description="hash of the predictor's import closure; null in bundles older than this field"
    )
    files: dict[str, str] = Field(description="path inside the bundle -> sha256")

    @cached_property
    def version(self) -> str:
        """Twelve hex digits derived from the content: the same files have the same version."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def code(self) -> Literal["same", "changed", "unknown"]:
        """Whether this checkout or image has the predictor code that the bundle was evaluated with."""
        here = code_sha256(self.predictor)
        if self.code_sha256 is None or here is None:
            return "unknown"
        return "same" if here == self.code_sha256 else "changed"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, **lineage: str | None) -> Manifest:
    """Writes the manifest of the files in `folder`, with the hash of the current predictor code.

    lineage: the other fields of `Manifest`, `predictor` among them

    Raises:
        ValidationError: a field is missing or malformed.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in paths}
    code = code_sha256(str(lineage["predictor"]))
    manifest = Manifest.model_validate({"files": files, "code_sha256": code, **lineage})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """
    Raises:
        BundleError: it is missing or malformed.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder}: no {MANIFEST}; train the project first") from None
    except OSError as error:
        raise BundleError(f"{of_file(error)}; expected a manifest; train the project again") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise BundleError(f"{path}: {place}{first['msg']}; train the project again") from None


class Bundle:
    """A folder with a valid manifest and matching hashes. execution: what runs its graphs

    Raises:
        BundleError: the manifest is missing or malformed, or a file is missing, changed or not listed.
    """

    def __init__(self, folder: Path | str, execution: Execution = ON_CPU) -> None:
        self.folder, self.execution = Path(folder), execution
        self.manifest = read_manifest(self.folder)
        present = {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()} - {MANIFEST}
        for name in sorted(present | set(self.manifest.files)):
            if name not in self.manifest.files:
                raise BundleError(f"{self.folder / name}: not in the manifest")
            if name not in present:
                raise BundleError(f"{self.folder / name}: missing")
            try:
                found = sha256(self.folder / name)
            except FileNotFoundError:  # deleted meanwhile
                raise BundleError(f"{self.folder / name}: missing") from None
            if found != self.manifest.files[name]:
                raise BundleError(f"{self.folder / name}: content differs from the manifest (sha256)")

    def require_same_code(self) -> None:
        """
        Raises:
            BundleError: the predictor code here differs from the bundle's.
        """
        if self.manifest.code == "changed":
            here, made_with = code_sha256(self.manifest.predictor), self.manifest.code_sha256
            raise BundleError(
                f"{self.folder / MANIFEST}: code_sha256: found {made_with and made_with[:12]}; expected "
                f"{here and here[:12]}, the hash of {self.manifest.predictor} and what it imports here; "
                f"train again with `dvc repro register@{self.manifest.project}`, or use the code of commit "
                f"{self.manifest.git_commit or 'unknown'}"
            )

    def json(self, name: str) -> JsonObject:
        """A file of the bundle that is a JSON object.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        return json.loads((self.folder / name).read_bytes())

    def json_rows(self, name: str) -> list[JsonObject]:
        """As `json`, of a file that is a list of objects."""
        return json.loads((self.folder / name).read_bytes())

    @cached_property
    def example(self) -> list[JsonObject]:
        """Two valid example requests."""
        return self.json_rows("example.json")

    def session(self, name: str = "model.onnx", threads: int = 1) -> "InferenceSession":
        """A session of ONNX Runtime. Single-threaded: the graphs are small and requests run in parallel."""
        return open_session(self.folder / name, threads, self.execution, self.manifest.version)
