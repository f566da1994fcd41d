"""Published weights: safetensors, which hold tensors and nothing that runs, and only if the checksum fits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap.data.weights import hub, packages
from roadmap.io.errors import UsageError, of_file
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model.safetensors"
TOKENIZERS = ("tokenizer.json", "vocab.txt")  # the first that is there
TEMPLATE = "chat_template.jinja"
OTHERS = ("config.json", "tokenizer_config.json", TEMPLATE)
PICKLES = ("pytorch_model.bin", "model.bin", "model.pt")


@dataclass(frozen=True)
class PublishedWeights:
    """Where weights come from, and their files.

    source    as the user named it
    files     by name: WEIGHTS, config.json, one of TOKENIZERS, tokenizer_config.json if there is one
    """

    source: str
    files: dict[str, Path]
    sha256: str  # of WEIGHTS
    licence: str

    @property
    def card(self) -> JsonObject:
        """For the data card."""
        return {"source": self.source, "file": WEIGHTS, "sha256": self.sha256, "licence": self.licence}

    def json(self, name: str) -> JsonObject:
        """A file that is a JSON object.

        Raises:
            UsageError: it isn't.
        """
        try:
            found: JsonObject = dict(json.loads(self.files[name].read_bytes()))
        except (ValueError, TypeError) as error:
            raise UsageError(f"{self.files[name]}: found no JSON object ({error}); get the file again") from None
        return found


def find(source: str, sha256: str | None) -> PublishedWeights:
    """Weights with their tokenizer and settings.

    Args:
        source: a folder; an id of a hub, `hf://owner/name`, `modelscope://owner/name` or `owner/name`, with
            `@revision` if not the newest; or an installed package that holds such a folder.
        sha256: of the weights; None takes whatever is found, and the data card says what that was.

    Raises:
        UsageError: nothing is found, a file is missing, the weights are pickled, or the checksum differs.
        Unavailable: the hub does not answer.
    """
    name = source
    if Path(source).is_dir():
        folder = Path(source)
    elif hub.is_id(source):
        folder = hub.download(source, sha256, WEIGHTS, ("config.json", *TOKENIZERS, *OTHERS, "README.md"))
    else:
        folder = packages.folder_of(source, WEIGHTS)
    files = {each: folder / each for each in (WEIGHTS, *TOKENIZERS, *OTHERS) if (folder / each).is_file()}
    if WEIGHTS not in files:
        pickled = next((each for each in PICKLES if (folder / each).is_file()), None)
        found = f"found {pickled}, a pickle, which can run code" if pickled else "found none"
        raise UsageError(f"weights: {name}: {found}; expected {WEIGHTS}; convert it with safetensors")
    if "config.json" not in files or not files.keys() & set(TOKENIZERS):
        raise UsageError(
            f"weights: {name}: found {', '.join(files)}; expected {WEIGHTS}, config.json and {' or '.join(TOKENIZERS)}"
        )
    if TOKENIZERS[0] in files:
        files.pop(TOKENIZERS[1], None)
    found = digest(files[WEIGHTS])
    if sha256 and found != sha256:
        raise UsageError(f"weights: {name}: {WEIGHTS}: found sha256 {found}; expected {sha256}; get the file again")
    return PublishedWeights(name, files, found, licence_in(folder / "README.md"))


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def licence_in(readme: Path) -> str:
    """As its model card states it, in the header between two lines of dashes."""
    if not readme.is_file():
        return "not stated"
    header = readme.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0].splitlines()
    return next((line.partition(":")[2].strip() for line in header if line.startswith("license:")), "not stated")


def files_of(config: Mapping[str, object], state: "Mapping[str, Tensor]") -> JsonObject:
    """A trained network as files that `find` finds beside its tokenizer: config.json and, as bytes, WEIGHTS."""
    from safetensors.torch import save

    return {"config.json": dict(config), WEIGHTS: save(dict(state), {"format": "pt"})}


def load(file: Path, sha256: str) -> "dict[str, Tensor]":
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
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected weights") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UsageError(f"weights: {file}: found sha256 {found}; expected {sha256}; get the file again")
    try:
        return dict(tensors(content))
    except SafetensorError as error:
        raise UsageError(f"weights: {file}: found a damaged file ({error}); expected safetensors") from None
