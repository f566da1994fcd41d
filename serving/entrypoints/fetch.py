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
from roadmap.io import command_line
from roadmap.io.atomic import atomic_folder
from serving.sources import DiscoveredBundle, open_source


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
            if not isinstance(there, DiscoveredBundle):
                raise there
            bundle = Bundle(there.fetch())
            if version and bundle.manifest.version != version:
                raise BundleError(f"{source}: {project} is version {bundle.manifest.version} there and not {version}")
            place(bundle, folder / project)
            said.append(f"{project}: version {bundle.manifest.version}")
    return said


def place(bundle: Bundle, folder: Path) -> None:
    """Beside its place first, and checked again there."""
    with atomic_folder(folder / "bundle") as draft:
        shutil.copytree(bundle.folder, draft, dirs_exist_ok=True)
        draft.chmod(0o755)
        Bundle(draft)


class Options(command_line.Options):
    source: str = command_line.positional("what --bundles takes")
    folder: Path = command_line.positional("where the bundles come to")
    projects: list[str] = command_line.positional("<project> or <project>=<version>; all of the source", default=[])


def run(options: Options) -> None:
    wanted = dict(one.partition("=")[::2] for one in options.projects)
    print("\n".join(fetch(options.source, options.folder, wanted)))


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
