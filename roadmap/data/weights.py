"""Published weights: safetensors, which hold tensors and nothing that runs, and only if the checksum fits."""

import hashlib
from pathlib import Path

from torch import Tensor

from roadmap.io.errors import UsageError


def load(file: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of the file by name.

    Raises:
        UsageError: no such file, another format, or its content is not what `sha256` says.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as tensors

    if file.suffix != ".safetensors":
        raise UsageError(f"weights: found {file}; expected a .safetensors file; convert it with safetensors")
    if not file.is_file():
        raise UsageError(f"weights: found no file {file}; expected one with sha256 {sha256}")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UsageError(f"weights: {file}: found sha256 {found}; expected {sha256}; get the file again")
    try:
        return dict(tensors(content))
    except SafetensorError as error:
        raise UsageError(f"weights: {file}: found a damaged file ({error}); expected safetensors") from None
