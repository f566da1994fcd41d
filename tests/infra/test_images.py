"""The images: what their files promise, and, where there is an engine, what they are and do."""

import json
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import images
from infra.deploy import package
from roadmap.bundle import Bundle
from tests.support import bundles
from tests.support.checkouts import ROOT
from tests.support.infra import engine

FILES = sorted((ROOT / "infra" / "docker").glob("*.Dockerfile"))
LIMIT = 180e6  # bytes that the serving image may add to its base
READ_ONLY = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


# ---------------------------------------------------------------- without an engine


each = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def instructions(file: Path) -> list[tuple[str, str]]:
    """(FROM, ...) and so on, without comments, continued lines in one."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


@each
def test_a_dockerfile_has_one_base_and_it_is_an_argument(file: Path) -> None:
    lines = instructions(file)
    assert lines[0] == ("ARG", f"BASE={images.BASE}")
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", images.BASE), "Python's and Debian's release, and no moving tag"
    assert {rest.split()[0] for word, rest in lines if word == "FROM"} == {"${BASE}"}


@each
def test_a_dockerfile_runs_as_any_non_root_user(file: Path) -> None:
    """But for train: SageMaker's /opt/ml belongs to root."""
    lines = instructions(file)
    users = [rest for word, rest in lines if word == "USER"]
    if file.name == "train.Dockerfile":
        assert not users and "SageMaker runs training as root" in file.read_text()
    else:
        assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1]), "by number: Kubernetes can't look a name up"
    after = lines[max(number for number, (word, _) in enumerate(lines) if word in ("USER", "FROM")) :]
    assert users == [] or not [word for word, _ in after if word in ("RUN", "COPY")], "nothing is added as that user"


@each
def test_listening_images_have_a_health_check(file: Path) -> None:
    words = [word for word, _ in instructions(file)]
    assert ("EXPOSE" in words) == ("HEALTHCHECK" in words)
    assert ("EXPOSE" in words) == (file.name == "serving.Dockerfile")


@each
def test_a_dockerfile_keeps_no_cache_and_verifies_downloads(file: Path) -> None:
    lines = instructions(file)
    assert not [rest for word, rest in lines if word == "ADD" or re.search(r"\b(sudo|curl|wget)\b|:latest", rest)]
    for rest in (rest for word, rest in lines if word == "RUN"):
        assert rest.count("pip install") == rest.count("--no-cache-dir") == rest.count("--no-deps"), "a lock, as it is"
        assert ("apt-get" in rest) == ("rm -rf /var/lib/apt/lists/*" in rest)


def test_the_serving_lock_is_a_subset_of_the_projects() -> None:
    """The same versions as the tests run with, every file with its hash, and nothing to train with."""
    whole = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    lock = (ROOT / "infra" / "docker" / "serving.lock").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    assert {name: whole.get(name) for name in pins} == pins
    assert lock.count("--hash=sha256:") >= len(pins)
    assert not {"torch", "mlflow", "pytorch-lightning", "pandas", "scikit-learn"} & set(pins)
    wanted = (ROOT / "infra" / "docker" / "serving.in").read_text()
    assert {line.split()[0] for line in wanted.splitlines() if line and line[0] != "#"} <= set(pins)


def test_an_unknown_argument_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.images", "build", "servin"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and f"found no image 'servin'; expected {', '.join(images.IMAGES)}" in done.stderr


def test_the_sbom_lists_what_the_lock_pins(tmp_path: Path) -> None:
    file = images.sbom(Path("infra/docker/serving.lock"), tmp_path)
    found = json.loads(file.read_text())
    assert found["bomFormat"] == "CycloneDX"
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "infra" / "docker" / "serving.lock").read_text(), re.MULTILINE)
    assert {one["name"] for one in found["components"]} == set(pins)


# ---------------------------------------------------------------- the serving image


@pytest.fixture(scope="module")
def serving() -> str:
    return engine.built("serving")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = bundles.make_all(tmp_path_factory.mktemp("artifacts"))
    engine.readable(folder)
    yield folder


def mounted(artifacts: Path) -> tuple[str, ...]:
    return (*READ_ONLY, "-v", f"{artifacts}:/opt/roadmap/artifacts:ro")


@pytest.mark.slow
@engine.needed
def test_the_serving_image_is_small_without_training_libraries(serving: str) -> None:
    sizes = [
        int(engine.docker("image", "inspect", "-f", "{{.Size}}", name).stdout) for name in (engine.base(), serving)
    ]
    assert sizes[1] - sizes[0] <= LIMIT
    names = ("torch", "mlflow", "pytorch_lightning", "pandas")
    look = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert engine.docker("run", "--rm", "--entrypoint", "python", serving, "-c", look).stdout == "[]\n"
    assert engine.docker("run", "--rm", "--entrypoint", "id", serving, "-u").stdout == "10001\n"


@pytest.mark.slow
@engine.needed
def test_builds_are_reproducible(serving: str, tmp_path: Path) -> None:
    stage = engine.build("serving", "--no-cache", "--target", "packages", name="again-packages")
    again = engine.build("serving", name="again")  # on that stage: the newest
    command = "find /packages /opt/roadmap -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    sums = [engine.docker("run", "--rm", "--entrypoint", "sh", name, "-c", command).stdout for name in (serving, again)]
    engine.docker("rmi", again, stage)  # with its layers, or the next build of any image would start from them
    assert sums[0] == sums[1]


@pytest.mark.slow
@engine.needed
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


@pytest.mark.slow
@engine.needed
def test_it_serves_the_way_sagemaker_starts_it(serving: str, artifacts: Path, tmp_path: Path) -> None:
    """model.tar.gz, as a deployment packs it, unpacked to /opt/ml/model; argv `serve`; port 8080."""
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


@pytest.mark.slow
@engine.needed
@pytest.mark.parametrize(
    ("words", "said"),
    [(("nonsense",), "this image runs 'serve', 'lambda', 'fetch'"), ((), "found no bundle in artifacts")],
    ids=["a wrong word", "no bundle"],
)
def test_startup_errors_are_one_line(serving: str, words: tuple[str, ...], said: str) -> None:
    done = engine.docker("run", "--rm", serving, *words, check=False)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]


@pytest.mark.slow
@engine.needed
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


@engine.needed
def test_the_base_is_recorded_and_a_missing_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASE_IMAGE", engine.base())
    assert images.main(["base"]) == 0
    assert json.loads((tmp_path / "sbom" / "base.json").read_text())["name"] == engine.base()
    monkeypatch.setenv("BASE_IMAGE", "127.0.0.1:1/nobody/nothing:1")
    assert images.main(["base"]) == 2
    assert "nothing:1: pull failed" in capsys.readouterr().err
