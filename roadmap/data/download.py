"""Official data sets: from DATA_MIRROR where one is set, else from the publisher, and only if the checksum fits."""

import os
from pathlib import Path
from typing import Any

from roadmap.io.errors import Unavailable, UsageError

CHUNK = 1 << 18


def fetch(project: str, url: str, checksum: str) -> Path:
    """The file at `url`, from the cache if it is there.

    DATA_MIRROR (a folder, http(s):// or s3:// address) is asked first for `<project>/<file name>`. An interrupted
    download goes on where it stopped. `checksum` is `sha256:...` or `md5:...`.

    Raises:
        UsageError: nowhere to be had, or its content is not what `checksum` says; no file is left then.
        Unavailable: somebody who may have it did not answer.
    """
    import pooch

    cache = Path(os.environ.get("DATA_CACHE") or pooch.os_cache("roadmap")) / project
    name = url.rpartition("/")[2]
    mirror = os.environ.get("DATA_MIRROR")
    addresses = [f"{mirror.rstrip('/')}/{project}/{name}", url] if mirror else [url]
    refusals, silent = [], False
    for address in addresses:
        try:
            return Path(
                pooch.retrieve(address, checksum, fname=name, path=cache, downloader=_Resuming(cache / f"{name}.part"))
            )
        except Exception as error:  # every protocol has exceptions of its own
            if isinstance(error, ValueError) and "hash of downloaded file" in str(error):  # pooch has removed the file
                raise UsageError(f"{address}: its checksum is not {checksum}: {error}".splitlines()[0]) from None
            silent |= _silent(error)
            refusals.append(f"{address}: {type(error).__name__}: {error}".splitlines()[0])
    hint = "" if mirror else "; set DATA_MIRROR to a folder or address that holds it"
    raise (Unavailable if silent else UsageError)(f"cannot get {name} of {project} ({'; '.join(refusals)}){hint}")


def _silent(error: Exception) -> bool:
    """Whether nobody answered. Of a web server fsspec says FileNotFoundError whatever happened; the cause tells."""
    from aiohttp import ClientConnectionError, ClientResponseError

    if isinstance(error.__cause__, ClientResponseError):
        return error.__cause__.status >= 500 or error.__cause__.status == 429
    if isinstance(error.__cause__, ClientConnectionError | TimeoutError):
        return True
    return not isinstance(error, FileNotFoundError | PermissionError | ValueError | ImportError)


class _Resuming:
    """A pooch downloader for every protocol of fsspec, which keeps what it has in `part` until the file is whole."""

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        import fsspec
        from tqdm import tqdm

        address = url if "://" in url else str(Path(url).resolve())
        try:
            self._copy(fsspec.open(address, "rb"), tqdm)
        except ValueError:  # a server that ignores ranges, which shows only after the first block
            if not address.startswith("http"):
                raise
            self._copy(fsspec.open(address, "rb", block_size=0), tqdm)
        self.part.replace(output_file)

    def _copy(self, opened: Any, tqdm: Any) -> None:
        with opened as source, self.part.open("ab") as sink:
            total, done = getattr(source, "size", None), sink.tell()
            if done:
                try:
                    source.seek(done)
                except (ValueError, OSError):  # a server without ranges: from the start
                    sink.truncate(done := 0)
            with tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=self.part.stem) as bar:
                while chunk := source.read(CHUNK):
                    sink.write(chunk)
                    bar.update(len(chunk))
