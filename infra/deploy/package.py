"""Bundles as reproducible archives, so that an existing one is not uploaded again."""

import gzip
import io
import tarfile
from pathlib import Path

from roadmap.bundle import MANIFEST, Bundle


def tar(bundle: Bundle, prefix: str = "") -> bytes:
    """An uncompressed archive of the bundle's files under `prefix`, without times and owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in parents(prefix):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in sorted([*bundle.manifest.files, MANIFEST]):
            content = (bundle.folder / name).read_bytes()
            entry = tarfile.TarInfo(f"{prefix}{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def parents(prefix: str) -> list[str]:
    """`a/b/` -> a, a/b: folder entries, readable by every user."""
    parts = Path(prefix).parts
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def packed(archive: bytes) -> bytes:
    return gzip.compress(archive, mtime=0)
