"""python -m serving.entrypoints.sagemaker serve: what SageMaker starts, `docker run <image> serve`.

Serves on SAGEMAKER_BIND_TO_PORT (8080) what lies in SM_MODEL_DIR (/opt/ml/model).
"""

import os
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from roadmap.bundle import MANIFEST, Manifest
from serving.entrypoints import server


def main(argv: list[str]) -> int:
    """Exit code 2: another command than `serve`, or no bundle to serve."""
    if argv != ["serve"]:
        return server.fail(2, f"this container has the command 'serve' and no other, not {' '.join(argv)!r}")
    folder = Path(os.environ.get("SM_MODEL_DIR") or "/opt/ml/model")
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    with tempfile.TemporaryDirectory(prefix="bundles-") as place:
        try:
            lay_out(folder, Path(place))
        except ValueError as error:
            return server.fail(2, str(error))
        return server.main(["--host", "0.0.0.0", "--port", port, "--bundles", place])


def lay_out(folder: Path, place: Path) -> None:
    """Links the bundles, wherever they lie in `folder`, to <place>/<project>/bundle, where the server looks for them.

    Raises:
        ValueError: there is none, or one has no readable manifest, or a project has several.
    """
    manifests = sorted(folder.rglob(MANIFEST))
    if not manifests:
        raise ValueError(f"no {MANIFEST} in {folder}; model.tar.gz should hold the files of artifacts/<project>/bundle")
    for path in manifests:
        try:
            link = place / Manifest.model_validate_json(path.read_bytes()).project / "bundle"
        except ValidationError as error:
            raise ValueError(f"{path}: {error.errors()[0]['msg']}") from None
        if link.is_symlink():
            raise ValueError(f"{path}: {link.parent.name} has another bundle in {link.readlink()}")
        link.parent.mkdir()
        link.symlink_to(path.parent.resolve(), target_is_directory=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
