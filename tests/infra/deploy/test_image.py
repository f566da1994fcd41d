"""A layer on an image through a registry's HTTP API: against Debian's docker-registry, and pulled by a real engine."""

import contextlib
import io
import json
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import images
from infra.deploy import image, package
from infra.deploy.target import DeployError
from roadmap.bundle import Bundle
from tests.support import bundles
from tests.support.infra import engine

PROGRAM = shutil.which("docker-registry")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed; Debian has it")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    storage = {"filesystem": {"rootdirectory": str(folder / "images")}}
    settings = {"version": "0.1", "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}
    (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(PROGRAM), "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    bundles.titanic(tmp_path / "bundle")
    return Bundle(tmp_path / "bundle")


def base_image(repository: image.ImageRepository, tag: str) -> None:
    """An image of one layer with one file, pushed like any client does."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("etc/base")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"base"))
    small = package.packed(layer.getvalue())
    rootfs = {"type": "layers", "diff_ids": [image.digest(layer.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": image.DOCKER,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(config),
            "digest": repository.push(config),
        },
        "layers": [{"mediaType": image.LAYERS[image.DOCKER], "size": len(small), "digest": repository.push(small)}],
    }
    repository.ask("PUT", f"manifests/{tag}", json.dumps(manifest).encode(), Content_Type=image.DOCKER)


def layered(registry: str, bundle: Bundle, name: str) -> tuple[image.ImageRepository, str]:
    base, to = image.ImageRepository(f"{registry}/stage/serving"), image.ImageRepository(f"{registry}/stage/lambda")
    base_image(base, "latest")
    layer = package.tar(bundle, "var/task/artifacts/titanic/bundle/")
    return to, image.layered(base, "latest", to, name, layer, ["lambda"])


def test_the_image_is_the_base_plus_the_bundle(registry: str, bundle: Bundle, tmp_path: Path) -> None:
    to, digest = layered(registry, bundle, "one")
    found = to.ask("GET", "manifests/one", Accept=image.DOCKER)
    assert found is not None and image.digest(found[1]) == digest == found[0]["Docker-Content-Digest"]
    manifest = json.loads(found[1])
    config = json.loads(to.blob(manifest["config"]["digest"]))
    assert config["config"]["Cmd"] == ["lambda"] and len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
    for one in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(to.blob(one["digest"]))) as archive:
            archive.extractall(tmp_path / "root", filter="data")
    assert (tmp_path / "root" / "etc" / "base").read_bytes() == b"base"
    unpacked = Bundle(tmp_path / "root" / "var" / "task" / "artifacts" / "titanic" / "bundle")
    assert unpacked.manifest.version == bundle.manifest.version


def test_the_type_of_an_oci_manifest_may_be_in_its_header_alone(registry: str) -> None:
    repository = image.ImageRepository(f"{registry}/stage/oci")
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": repository.push(b"{}")}
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": []}).encode()
    repository.ask("PUT", "manifests/one", manifest, Content_Type=image.OCI)
    assert repository.manifest("one") == (json.loads(manifest), image.OCI)


def test_images_are_reproducible(registry: str, bundle: Bundle) -> None:
    assert layered(registry, bundle, "two")[1] == layered(registry, bundle, "three")[1]


def test_a_missing_base_image_is_named(registry: str, bundle: Bundle) -> None:
    base, to = image.ImageRepository(f"{registry}/nobody/serving"), image.ImageRepository(f"{registry}/stage/lambda")
    with pytest.raises(DeployError, match="found no image 'latest'; push the serving image first"):
        image.layered(base, "latest", to, "four", b"", ["lambda"])


def test_an_unreachable_registry_is_a_temporary_failure(bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DeployError, match="run the same command to resume") as refused:
        image.ImageRepository(f"http://127.0.0.1:{port}/stage/lambda").manifest("latest")
    assert refused.value.code == 75


@pytest.mark.slow
@engine.needed
def test_an_engine_pulls_it_with_a_valid_bundle(registry: str, bundle: Bundle) -> None:
    """docker pull checks every digest; the files' own hashes are checked against the manifest in the bundle."""
    _, pushed = layered(registry, bundle, "pulled")
    name = f"{registry.removeprefix('http://')}/stage/lambda:pulled"
    assert images.digest(name) == pushed, "pulled with the registry's digest"
    container = engine.docker("create", name).stdout.strip()
    try:
        copied = bundle.folder.parent / "copied"
        engine.docker("cp", f"{container}:/var/task/artifacts/titanic/bundle", str(copied))
        assert Bundle(copied).manifest.version == bundle.manifest.version
        assert (copied / "bundle.json").stat().st_mode & 0o777 == 0o644
    finally:
        engine.docker("rm", container, check=False)
        engine.docker("rmi", name, check=False)
