"""Weights from Hugging Face or ModelScope, through the hub's HTTP API.

HF_ENDPOINT and MODELSCOPE_ENDPOINT name a mirror, where the hub itself can't be reached.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from roadmap.data.download import fetch
from roadmap.io.atomic import write_atomically
from roadmap.io.errors import Unavailable, UsageError
from roadmap.io.http import HttpError, ask

ID = re.compile(r"(?:(hf|modelscope)://)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
MOST = 64 * 2**20  # bytes of a tokenizer or of settings
PAUSES = (1.0, 4.0)


@dataclass(frozen=True)
class Hub:
    """{id}, {revision} and {file} of an address are filled in."""

    variable: str
    endpoint: str
    revision: str  # the newest
    listing: str
    content: str


HUBS = {
    "hf": Hub(
        "HF_ENDPOINT",
        "https://huggingface.co",
        "main",
        "/api/models/{id}/tree/{revision}",
        "/{id}/resolve/{revision}/{file}",
    ),
    "modelscope": Hub(
        "MODELSCOPE_ENDPOINT",
        "https://modelscope.cn",
        "master",
        "/api/v1/models/{id}/repo/files?Revision={revision}",
        "/models/{id}/resolve/{revision}/{file}",
    ),
}


def is_id(source: str) -> bool:
    return bool(ID.fullmatch(source))


def download(source: str, sha256: str | None, weights: str, others: Sequence[str]) -> Path:
    """The folder with the files of a model, in the cache of downloads.

    Args:
        source: see ID.
        sha256: of the weights; None takes the one that the hub states.
        weights: their file name. A download that broke off is resumed.
        others: files that are taken where the hub has them.

    Raises:
        UsageError: no such model, no such file, or its content is not what the checksum says.
        Unavailable: the hub does not answer.
    """
    match = ID.fullmatch(source)
    assert match, source
    kind, name, revision = match[1] or "hf", match[2], match[3]
    hub = HUBS[kind]
    base = (os.environ.get(hub.variable) or hub.endpoint).rstrip("/")
    there = {"id": name, "revision": quote(revision or hub.revision, safe="")}
    stated = checksums(_ask(base + hub.listing.format(**there), source).json())
    if weights not in stated:
        raise UsageError(
            f"weights: {source}: found {', '.join(sorted(stated)) or 'no file'}; expected {weights}; choose a model "
            "that is published as safetensors"
        )
    expected = sha256 or stated[weights]
    if not expected:
        raise UsageError(f"weights: {source}: found no checksum of {weights} at {base}; set `sha256` of the weights")
    place = f"weights/{kind}/{name}"
    folder = fetch(place, base + hub.content.format(**there, file=weights), f"sha256:{expected}").parent
    for file in others:
        if file in stated:
            write_atomically(folder / file, _ask(base + hub.content.format(**there, file=file), source).content)
        else:
            (folder / file).unlink(missing_ok=True)  # of another revision
    return folder


def checksums(listing: Any) -> dict[str, str | None]:
    """File name -> sha256 in a hub's listing; of small files Hugging Face states none.

    Raises:
        UsageError: it is no listing.
    """
    try:
        if isinstance(listing, dict):  # ModelScope
            return {str(file["Path"]): file.get("Sha256") for file in listing["Data"]["Files"]}
        return {str(file["path"]): (file.get("lfs") or {}).get("oid") for file in listing}
    except (KeyError, TypeError, AttributeError):
        raise UsageError("weights: found no list of files in the hub's answer; expected one; is it a hub?") from None


def _ask(url: str, source: str) -> Any:
    try:
        return ask(url, pauses=PAUSES, limit=MOST)
    except HttpError as error:
        reason = f"weights: {source}: {error}; expected a file"
        remedy = "set HF_ENDPOINT or MODELSCOPE_ENDPOINT to a mirror, or name a folder or an installed package"
        raise (Unavailable if error.passing else UsageError)(f"{reason}; {remedy}") from None
