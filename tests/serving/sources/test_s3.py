"""Bundles from S3, with a real S3 server."""

import json
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from roadmap.bundle import MANIFEST, Bundle, BundleError, write_manifest
from serving.sources import DiscoveredBundle, SourceError, open_source
from tests.support import bundles
from tests.support.sources import found


class Bucket:
    """A bucket that `s3://<name>` names."""

    def __init__(self, name: str, client: Any) -> None:
        self.name, self.client = name, client
        client.create_bucket(Bucket=name)

    def upload(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key.lstrip("/"), Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@pytest.fixture
def bucket(s3: None, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(f"bundles-{abs(hash(request.node.name))}", boto3.client("s3"))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A bundle to be uploaded."""
    bundles.titanic(tmp_path / "made")
    return tmp_path / "made"


def cached(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*"))


@pytest.mark.parametrize(
    "prefix", ["team/models/titanic/bundle", "team/models/titanic", "team/models", "titanic/bundle"]
)
def test_a_prefix_may_hold_projects_or_be_one_bundle(prefix: str, bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, prefix)
    bucket.put(f"{prefix}/../notes.txt", b"no bundle")
    place = f"s3://{bucket.name}/team/models/" if prefix.startswith("team") else f"s3://{bucket.name}"
    there = open_source(place, cache).find()
    assert list(there) == ["titanic"]
    assert not cache.exists(), "polling downloads nothing"
    one = there["titanic"]
    assert isinstance(one, DiscoveredBundle)
    assert Bundle(one.fetch()).manifest == Bundle(made).manifest


def test_files_in_subfolders_are_fetched(bucket: Bucket, made: Path, cache: Path) -> None:
    (made / "graphs" / "deep").mkdir(parents=True)
    (made / "graphs" / "deep" / "größe 尺寸.bin").write_bytes(b"1")
    manifest = bundles.another(made)
    bucket.upload(made, "titanic/bundle")
    assert Bundle(found(open_source(f"s3://{bucket.name}", cache)).fetch()).manifest == manifest


def test_cached_bundles_are_not_downloaded_again(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    first = found(open_source(f"s3://{bucket.name}", cache)).fetch()
    bucket.upload(made, "elsewhere/titanic/bundle")
    bucket.delete("elsewhere/titanic/bundle/model.onnx")
    assert found(open_source(f"s3://{bucket.name}/elsewhere", cache)).fetch() == first


def test_a_new_version_has_a_new_fingerprint_and_its_own_folder(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    source = open_source(f"s3://{bucket.name}", cache)
    old = found(source)
    before = Bundle(old.fetch())
    assert found(source).fingerprint == old.fingerprint
    manifest = bundles.another(made)
    bucket.upload(made, "titanic/bundle")
    new = found(source)
    assert new.fingerprint != old.fingerprint
    assert Bundle(new.fetch()).manifest == manifest
    assert Bundle(before.folder).manifest == before.manifest


def test_another_lineage_is_another_version(bucket: Bucket, made: Path, cache: Path) -> None:
    source = open_source(f"s3://{bucket.name}", cache)
    bucket.upload(made, "titanic/bundle")
    first = Bundle(found(source).fetch()).manifest
    again = write_manifest(made, **{**first.model_dump(exclude={"files"}), "run": "f" * 32})
    bucket.upload(made, "titanic/bundle")
    assert again.version == first.version
    assert Bundle(found(source).fetch()).manifest.run == "f" * 32


def test_a_corrupt_download_is_rejected_and_removed(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    content = (made / "model.onnx").read_bytes()
    bucket.put("titanic/bundle/model.onnx", content[:-1] + b"?")
    source = open_source(f"s3://{bucket.name}", cache)
    with pytest.raises(BundleError, match=rf"s3://{bucket.name}/titanic/bundle/model\.onnx: content differs"):
        found(source).fetch()
    assert cached(cache) == []
    bucket.put("titanic/bundle/model.onnx", content)
    assert Bundle(found(source).fetch()).manifest == Bundle(made).manifest


def test_a_corrupt_cache_is_fetched_again(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    source = open_source(f"s3://{bucket.name}", cache)
    folder = found(source).fetch()
    (folder / "model.onnx").write_bytes(b"damaged")
    (folder / "schema.json").unlink()
    assert Bundle(found(source).fetch()).folder == folder
    assert cached(cache) == [folder]


def test_a_missing_object_is_named(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    bucket.delete("titanic/bundle/model.onnx")
    with pytest.raises(SourceError, match=rf"s3://{bucket.name}/titanic/bundle/model\.onnx: "):
        found(open_source(f"s3://{bucket.name}", cache)).fetch()
    assert cached(cache) == []


@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "a/../../escaped", "", "a//b", "..\\escaped"])
def test_a_manifest_cannot_write_outside_the_cache(name: str, bucket: Bucket, made: Path, cache: Path) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    manifest["files"][name] = next(iter(manifest["files"].values()))
    bucket.upload(made, "titanic/bundle")
    bucket.put(f"titanic/bundle/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(BundleError, match="not a file name inside the bundle"):
        found(open_source(f"s3://{bucket.name}", cache)).fetch()
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"project": 1}', b"\xff\xfe"])
def test_an_invalid_manifest_is_rejected(content: bytes, bucket: Bucket, cache: Path) -> None:
    bucket.put(f"titanic/bundle/{MANIFEST}", content)
    with pytest.raises(BundleError, match=rf"titanic/bundle/{MANIFEST}: "):
        found(open_source(f"s3://{bucket.name}", cache)).fetch()


def test_concurrent_fetches_give_one_folder(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    sources = [open_source(f"s3://{bucket.name}", cache) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        folders = set(pool.map(lambda source: Bundle(found(source).fetch()).folder, sources))
    assert cached(cache) == sorted(folders) and len(folders) == 1


def test_the_cache_keeps_the_last_versions(bucket: Bucket, made: Path, cache: Path) -> None:
    (cache / "titanic" / ".killed").mkdir(parents=True)
    source = open_source(f"s3://{bucket.name}", cache)
    folders = []
    for number in range(5):
        bundles.another(made, f"number {number}")
        bucket.upload(made, "titanic/bundle")
        folders.append(found(source).fetch())
    assert cached(cache) == sorted([*folders[-3:], cache / "titanic" / ".killed"]), "a temporary folder may be in use"


def test_every_page_of_a_long_listing_is_read(
    bucket: Bucket, made: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    bucket.upload(made, "titanic/bundle")
    source = open_source(f"s3://{bucket.name}", cache)
    before = found(source).fingerprint
    bucket.put("titanic/bundle/zz-last.bin", b"x")
    assert found(source).fingerprint != before
    found(source).fetch()


def test_an_unwritable_cache_is_reported(bucket: Bucket, made: Path, cache: Path) -> None:
    bucket.upload(made, "titanic/bundle")
    cache.write_bytes(b"a file")
    with pytest.raises(SourceError, match="SERVING_CACHE"):
        found(open_source(f"s3://{bucket.name}", cache)).fetch()


def no_bucket(bucket: Bucket, _: pytest.MonkeyPatch) -> str:
    return f"{bucket.name}-absent"


def no_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return bucket.name


def no_server(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    return bucket.name


def no_address(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio")
    return bucket.name


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (no_bucket, "no such bucket"),
        (no_credentials, "credentials"),
        (no_server, "127.0.0.1:9"),
        (no_address, "minio"),
    ],
)
def test_s3_errors_are_one_line_within_seconds(
    trouble: Callable[[Bucket, pytest.MonkeyPatch], str],
    words: str,
    bucket: Bucket,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = open_source(f"s3://{trouble(bucket, monkeypatch)}/models", cache)
    started = time.monotonic()
    with pytest.raises(SourceError, match=rf"^s3://{bucket.name}.*/models: .*{words}") as caught:
        source.find()
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60  # by default botocore retries for minutes


def test_missing_s3_permissions_are_reported(
    s3_server: str, bucket: Bucket, made: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.upload(made, "titanic/bundle")
    client = boto3.client("iam")
    client.create_user(UserName="reader")
    key = client.create_access_key(UserName="reader")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    def checks_after(calls: str) -> None:
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset-auth", calls.encode(), plain))

    checks_after("0")
    try:
        with pytest.raises(SourceError, match="s3:ListBucket"):
            open_source(f"s3://{bucket.name}", cache).find()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
        with pytest.raises(SourceError, match="AWS_ACCESS_KEY_ID"):
            open_source(f"s3://{bucket.name}", cache).find()
    finally:
        checks_after("inf")


def test_an_s3_outage_unloads_nothing(
    bucket: Bucket, made: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundles.mnist(tmp_path / "local" / "mnist" / "bundle")
    bucket.upload(made, "titanic/bundle")
    source = open_source(f"{tmp_path}/local,s3://{bucket.name}", cache)
    before = found(source)
    bucket.client.delete_bucket_policy(Bucket=bucket.name)
    for path in sorted(made.rglob("*")):
        bucket.delete(f"titanic/bundle/{path.relative_to(made).as_posix()}")
    bucket.client.delete_bucket(Bucket=bucket.name)
    there = source.find()
    assert isinstance(there["mnist"], DiscoveredBundle)
    assert isinstance(there["titanic"], SourceError)
    assert "no such bucket" in caplog.text
    bucket.client.create_bucket(Bucket=bucket.name)
    bucket.upload(made, "titanic/bundle")
    assert found(source).fingerprint == before.fingerprint
