"""Downloads bundles before a server starts.

    python -m serving.entrypoints.fetch <source> <folder> [<project>[=<version>] ...]

<source> is a value of --bundles. Each project is written atomically to <folder>/<project>/bundle after its hashes are
verified; a version, if given, must match. Without projects, all of the source.

Exit code 2: the source lacks what was requested. 75: the source is unreachable.
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
        SourceError, BundleError: a bundle is missing, damaged or of another version.
    """
    lines = []
    with tempfile.TemporaryDirectory() as cache:
        found = open_source(source, Path(cache)).find()
        if not found:
            raise BundleError(f"{source}: found no bundles")
        for project, version in (wanted or dict.fromkeys(found, "")).items():
            there = found.get(project)
            if there is None:
                raise BundleError(f"{source}: found no bundle of {project}; it has {', '.join(sorted(found))}")
            if not isinstance(there, DiscoveredBundle):
                raise there
            bundle = Bundle(there.fetch())
            if version and bundle.manifest.version != version:
                raise BundleError(f"{source}: {project}: found version {bundle.manifest.version}; expected {version}")
            place(bundle, folder / project)
            lines.append(f"{project}: version {bundle.manifest.version}")
    return lines


def place(bundle: Bundle, folder: Path) -> None:
    """Copies to a temporary folder and verifies it before the rename."""
    with atomic_folder(folder / "bundle") as draft:
        shutil.copytree(bundle.folder, draft, dirs_exist_ok=True)
        draft.chmod(0o755)
        Bundle(draft)


class Options(command_line.Options):
    source: str = command_line.positional("a value of --bundles")
    folder: Path = command_line.positional("destination of the bundles")
    projects: list[str] = command_line.positional(
        "<project> or <project>=<version>; default: all of the source", default=[]
    )


def run(options: Options) -> None:
    """Prints what `fetch` returns."""
    wanted = dict(one.partition("=")[::2] for one in options.projects)
    print("\n".join(fetch(options.source, options.folder, wanted)))


def main(argv: list[str]) -> int:
    """-> the exit code"""
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
