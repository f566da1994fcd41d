"""python -m serving.entrypoints.sagemaker serve: SageMaker's entry point, `docker run <image> serve`.

Serves the bundles in SM_MODEL_DIR (/opt/ml/model) on SAGEMAKER_BIND_TO_PORT (8080).
"""

import os
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from roadmap.bundle import MANIFEST, Manifest
from serving.entrypoints import server


def main(argv: list[str]) -> int:
    """Exit code 2: unknown command, or no bundle to serve."""
    if argv != ["serve"]:
        return server.fail(2, f"command: found {' '.join(argv)!r}; expected 'serve'")
    folder = Path(os.environ.get("SM_MODEL_DIR") or "/opt/ml/model")
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    with tempfile.TemporaryDirectory(prefix="bundles-") as place:
        try:
            lay_out(folder, Path(place))
        except ValueError as error:
            return server.fail(2, str(error))
        return server.main(["--host", "0.0.0.0", "--port", port, "--bundles", place])


def lay_out(folder: Path, place: Path) -> None:
    """Links the bundles found anywhere in `folder` to <place>/<project>/bundle, where the server looks for them.

    Raises:
        ValueError: there is none, a manifest is unreadable, or a project has several.
    """
    manifests = sorted(folder.rglob(MANIFEST))
    if not manifests:
        raise ValueError(
            f"found no {MANIFEST} in {folder}; model.tar.gz must have the files of artifacts/<project>/bundle"
        )
    for path in manifests:
        try:
            link = place / Manifest.model_validate_json(path.read_bytes()).project / "bundle"
        except ValidationError as error:
            raise ValueError(f"{path}: {error.errors()[0]['msg']}") from None
        if link.is_symlink():
            raise ValueError(f"{path}: found a second bundle of {link.parent.name} in {link.readlink()}")
        link.parent.mkdir()
        link.symlink_to(path.parent.resolve(), target_is_directory=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
