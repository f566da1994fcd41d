"""The Dockerfiles as text; tests/system/containers builds and runs them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra import images
from tests.support.checkouts import ROOT
from tests.support.infra import engine

FILES = sorted((ROOT / "infra" / "docker").glob("*.Dockerfile"))

each = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def instructions(file: Path) -> list[tuple[str, str]]:
    """(FROM, ...) and so on, without comments, continued lines in one."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


@each
def test_a_dockerfile_has_one_base_and_it_is_an_argument(file: Path) -> None:
    lines = instructions(file)
    assert lines[0] == ("ARG", f"BASE={images.BASE}")
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", images.BASE), "a fixed release of Python and Debian"
    assert {rest.split()[0] for word, rest in lines if word == "FROM"} == {"${BASE}"}


@each
def test_a_dockerfile_runs_as_any_non_root_user(file: Path) -> None:
    """Except train: SageMaker's /opt/ml belongs to root."""
    lines = instructions(file)
    users = [rest for word, rest in lines if word == "USER"]
    if file.name == "train.Dockerfile":
        assert not users and "SageMaker runs training as root" in file.read_text()
    else:
        assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1]), "numeric: Kubernetes can't look up a name"
    after = lines[max(number for number, (word, _) in enumerate(lines) if word in ("USER", "FROM")) :]
    assert users == [] or not [word for word, _ in after if word in ("RUN", "COPY")], "no files are added as that user"


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
        assert rest.count("pip install") == rest.count("--no-cache-dir") == rest.count("--no-deps"), "an unchanged lock"
        assert ("apt-get" in rest) == ("rm -rf /var/lib/apt/lists/*" in rest)


def test_the_serving_lock_is_a_subset_of_the_projects() -> None:
    """The same versions as in the tests, every file with its hash, and no training libraries."""
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
