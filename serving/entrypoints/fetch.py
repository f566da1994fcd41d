"""Fetches bundles before a server starts.

    python -m serving.entrypoints.fetch <source> <folder> [<project>[=<version>] ...]

<source> is what --bundles takes. Each project comes to <folder>/<project>/bundle, whole and with its hashes checked, or
not at all; where a version is said, another one is refused. Without projects, all that the source has.

Exit code 2: what is there is not what is wanted. 75: the source can't be read now.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from roadmap.bundle import Bundle, BundleError
from serving.sources import Found, SourceError, open_source


def fetch(source: str, folder: Path, wanted: dict[str, str]) -> list[str]:
    """
    Args:
        wanted: project -> version, "" for any; empty for all projects.

    Raises:
        SourceError, BundleError: naming what is missing, damaged or another version.
    """
    said = []
    with tempfile.TemporaryDirectory() as cache:
        found = open_source(source, Path(cache)).find()
        if not found:
            raise BundleError(f"{source}: no bundle there")
        for project, version in (wanted or dict.fromkeys(found, "")).items():
            there = found.get(project)
            if there is None:
                raise BundleError(f"{source}: no bundle of {project}; there are {', '.join(sorted(found))}")
            if not isinstance(there, Found):
                raise there
            bundle = Bundle(there.fetch())
            if version and bundle.manifest.version != version:
                raise BundleError(f"{source}: {project} is version {bundle.manifest.version} there and not {version}")
            place(bundle, folder / project)
            said.append(f"{project}: version {bundle.manifest.version}")
    return said


def place(bundle: Bundle, folder: Path) -> None:
    """Beside its place first, and checked again there."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".bundle.", dir=folder))
    try:
        shutil.copytree(bundle.folder, draft, dirs_exist_ok=True)
        draft.chmod(0o755)
        Bundle(draft)
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        draft.replace(folder / "bundle")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def main(argv: list[str]) -> int:
    if len(argv) < 2 or {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0 if {"-h", "--help"} & set(argv) else 2
    source, folder, *projects = argv
    try:
        for line in fetch(source, Path(folder), dict(one.partition("=")[::2] for one in projects)):
            print(line)
    except (SourceError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BundleError) else 75
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
