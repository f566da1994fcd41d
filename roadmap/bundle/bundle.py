"""The bundle: a folder of files that training writes once and everything that predicts reads.

bundle.json    the manifest: where the model comes from, and the sha256 of every other file
model.onnx     graphs, and JSON or safetensors for what stands around them; never a pickle
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MANIFEST = "bundle.json"


class BundleError(Exception):
    """A bundle that must not be served; the message names the file at fault."""


class Manifest(BaseModel):
    """Where a bundle comes from and what it holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    predictor: str = Field(pattern=r"^pipelines\.[a-z][a-z0-9_]*\.predict$", description="the module that serves it")
    runtime: Literal["onnx", "torch"] = "onnx"
    profile: Literal["sample", "full"]
    source: str = Field(description="the data set it was trained on")
    created: str = Field(description="ISO 8601, UTC")
    git_commit: str | None
    data_sha256: str
    params_sha256: str
    run: str = Field(description="our own id of the training run, the tag `run` in MLflow")
    files: dict[str, str] = Field(description="path inside the bundle -> sha256")

    @property
    def version(self) -> str:
        """Twelve digits that name the content: the same files have the same version."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:12]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, **lineage: Any) -> Manifest:
    """Writes the manifest over the files that lie in `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in paths}
    manifest = Manifest(files=files, **lineage)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


class Bundle:
    """A folder whose manifest and hashes have been checked.

    Raises:
        BundleError: no manifest, a manifest of another shape, a missing, changed or additional file.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            self.manifest = Manifest.model_validate_json((self.folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            raise BundleError(f"{self.folder}: no {MANIFEST}; train the project first") from None
        except ValidationError as error:
            raise BundleError(f"{self.folder / MANIFEST}: {error.errors()[0]['msg']}") from None
        present = {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()} - {MANIFEST}
        for name in sorted(present | set(self.manifest.files)):
            if name not in self.manifest.files:
                raise BundleError(f"{self.folder / name}: not in the manifest")
            if name not in present:
                raise BundleError(f"{self.folder / name}: missing")
            try:
                found = sha256(self.folder / name)
            except FileNotFoundError:  # taken away meanwhile
                raise BundleError(f"{self.folder / name}: missing") from None
            if found != self.manifest.files[name]:
                raise BundleError(f"{self.folder / name}: its content is not what the manifest says (sha256 differs)")

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_bytes())

    @cached_property
    def example(self) -> list[dict[str, Any]]:
        """Two requests that the model is known to answer."""
        return self.json("example.json")

    def session(self, name: str = "model.onnx", threads: int = 1) -> Any:
        """An ONNX Runtime session on the CPU. One thread: these graphs are small, and requests run side by side."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(self.folder / name, options, providers=["CPUExecutionProvider"])
