"""`python -m serving.entrypoints.fetch`: one bundle of one version, or nothing."""

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from roadmap.bundle import Bundle
from tests.support import bundles
from tests.support.checkouts import ROOT, environment


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    bundles.mnist(tmp_path / "source" / "mnist" / "bundle")
    return tmp_path / "source" / "mnist" / "bundle"


def fetch(source: Path | str, folder: Path, project: str, version: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "serving.entrypoints.fetch", str(source), str(folder), f"{project}={version}"]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)


def test_the_expected_version_is_fetched_completely(mnist: Path, tmp_path: Path) -> None:
    version = Bundle(mnist).manifest.version
    for source in (mnist, mnist.parents[1]):  # one bundle, and a folder of projects
        target = tmp_path / f"to-{source.name}"
        done = fetch(source, target, "mnist", version)
        assert done.returncode == 0, done.stderr
        assert Bundle(target / "mnist" / "bundle").manifest.version == version
        assert list(target.iterdir()) == [target / "mnist"]  # nothing else is left behind


def test_a_second_start_repairs_damaged_files(mnist: Path, tmp_path: Path) -> None:
    version = Bundle(mnist).manifest.version
    assert fetch(mnist, tmp_path / "to", "mnist", version).returncode == 0
    (tmp_path / "to" / "mnist" / "bundle" / "example.json").write_text("[]")
    assert fetch(mnist, tmp_path / "to", "mnist", version).returncode == 0
    assert Bundle(tmp_path / "to" / "mnist" / "bundle").manifest.version == version


def test_an_unexpected_version_is_rejected_and_leaves_nothing(mnist: Path, tmp_path: Path) -> None:
    expected = Bundle(mnist).manifest.version
    bundles.titanic(tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "bundle.json").read_text())
    (tmp_path / "other" / "bundle.json").write_text(json.dumps({**manifest, "project": "mnist"}))
    done = fetch(tmp_path / "other", tmp_path / "to", "mnist", expected)
    assert done.returncode == 2 and f"expected {expected}" in done.stderr
    assert not list((tmp_path / "to").iterdir())


def test_a_damaged_file_is_rejected_by_name(mnist: Path, tmp_path: Path) -> None:
    version = Bundle(mnist).manifest.version
    with (mnist / "model.onnx").open("ab") as file:
        file.write(b"!")
    done = fetch(mnist, tmp_path / "to", "mnist", version)
    assert done.returncode == 2 and "model.onnx" in done.stderr and not list((tmp_path / "to").iterdir())


def test_an_unknown_project_is_an_error_that_lists_the_known_ones(mnist: Path, tmp_path: Path) -> None:
    done = fetch(mnist.parents[1], tmp_path / "to", "titanic", "0" * 12)
    assert done.returncode == 2 and "found no bundle of titanic; it has mnist" in done.stderr


@pytest.mark.usefixtures("s3")
def test_s3_and_a_missing_bucket(mnist: Path, tmp_path: Path) -> None:
    version = Bundle(mnist).manifest.version
    client = boto3.client("s3")
    client.create_bucket(Bucket="fetch-models")
    for path in mnist.iterdir():
        client.upload_file(str(path), "fetch-models", f"versions/mnist/{version}/{path.name}")
    done = fetch(f"s3://fetch-models/versions/mnist/{version}", tmp_path / "to", "mnist", version)
    assert done.returncode == 0, done.stderr
    assert Bundle(tmp_path / "to" / "mnist" / "bundle").manifest.version == version
    done = fetch(f"s3://fetch-nothing/versions/mnist/{version}", tmp_path / "other", "mnist", version)
    assert done.returncode == 75 and "no such bucket" in done.stderr
