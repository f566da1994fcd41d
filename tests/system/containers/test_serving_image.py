"""The serving image: contents and behaviour."""

import tarfile
import time
from pathlib import Path

import pytest

from infra.deploy import package
from roadmap.bundle import Bundle
from tests.support.infra import engine

pytestmark = [engine.needed]

LIMIT = 180e6  # most bytes that the serving image may add to its base
READ_ONLY = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def mounted(artifacts: Path) -> tuple[str, ...]:
    return (*READ_ONLY, "-v", f"{artifacts}:/opt/roadmap/artifacts:ro")


def test_the_serving_image_is_small_without_training_libraries(serving: str) -> None:
    sizes = [
        int(engine.docker("image", "inspect", "-f", "{{.Size}}", name).stdout) for name in (engine.base(), serving)
    ]
    assert sizes[1] - sizes[0] <= LIMIT
    names = ("torch", "mlflow", "pytorch_lightning", "pandas")
    look = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert engine.docker("run", "--rm", "--entrypoint", "python", serving, "-c", look).stdout == "[]\n"
    assert engine.docker("run", "--rm", "--entrypoint", "id", serving, "-u").stdout == "10001\n"


def test_builds_are_reproducible(serving: str, tmp_path: Path) -> None:
    stage = engine.build("serving", "--no-cache", "--target", "packages", name="again-packages")
    again = engine.build("serving", name="again")  # on that stage: the newest
    command = "find /packages /opt/roadmap -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    sums = [engine.docker("run", "--rm", "--entrypoint", "sh", name, "-c", command).stdout for name in (serving, again)]
    engine.docker("rmi", again, stage)  # with its layers, which the next build would otherwise reuse
    assert sums[0] == sums[1]


def test_it_serves_on_a_read_only_file_system(serving: str, artifacts: Path) -> None:
    bundle = Bundle(artifacts / "titanic" / "bundle")
    with engine.container(serving, options=mounted(artifacts)) as one:
        answer = one.ask("/models/titanic/predict", {"inputs": bundle.example})
        assert answer["model"]["version"] == bundle.manifest.version
        until = time.monotonic() + 30
        while one.state()["Health"]["Status"] != "healthy":
            assert time.monotonic() < until, one.state()["Health"]
            time.sleep(0.5)
        engine.docker("stop", "-t", "20", one.name)
        assert one.state()["ExitCode"] == 0 and "Finished server process" in one.log()


def test_it_serves_the_way_sagemaker_starts_it(serving: str, artifacts: Path, tmp_path: Path) -> None:
    """model.tar.gz of a deployment, unpacked to /opt/ml/model; argv `serve`; port 8080."""
    bundle = Bundle(artifacts / "titanic" / "bundle")
    archive, model = tmp_path / "model.tar.gz", tmp_path / "model"
    archive.write_bytes(package.packed(package.tar(bundle, "bundle/")))
    with tarfile.open(archive) as packed:
        packed.extractall(model, filter="data")
    engine.readable(tmp_path)
    options = ("-v", f"{model}:/opt/ml/model:ro", "-e", "MODEL_PROJECT=titanic")
    with engine.container(serving, "serve", options=options, port=8080) as one:
        assert one.ask("/ping")["version"] == bundle.manifest.version
        assert one.ask("/invocations", {"inputs": bundle.example})["model"]["name"] == "titanic"


@pytest.mark.parametrize(
    ("words", "message"),
    [(("nonsense",), "this image runs 'serve', 'lambda', 'fetch'"), ((), "found no bundle in artifacts")],
    ids=["a wrong word", "no bundle"],
)
def test_startup_errors_are_one_line(serving: str, words: tuple[str, ...], message: str) -> None:
    done = engine.docker("run", "--rm", serving, *words, check=False)
    assert done.returncode == 2 and message in done.stderr.splitlines()[-1]


def test_the_bundle_is_fetched_and_checked_before_the_start(serving: str, artifacts: Path, tmp_path: Path) -> None:
    version = Bundle(artifacts / "titanic" / "bundle").manifest.version
    place = tmp_path / "fetched"
    place.mkdir()
    place.chmod(0o777)
    engine.readable(tmp_path)
    mounts = ("-v", f"{artifacts}:/source:ro", "-v", f"{place}:/bundles", *READ_ONLY)
    wrong = engine.docker(
        "run", "--rm", *mounts, serving, "fetch", "/source", "/bundles", f"titanic={'0' * 12}", check=False
    )
    assert wrong.returncode == 2 and f"titanic: found version {version}; expected 000000000000" in wrong.stderr
    assert not list(place.rglob("bundle.json"))
    engine.docker("run", "--rm", *mounts, serving, "fetch", "/source", "/bundles", f"titanic={version}")
    assert Bundle(place / "titanic" / "bundle").manifest.version == version
