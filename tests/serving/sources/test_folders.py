"""Bundles from folders, and which sources are valid."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from roadmap.bundle import Bundle, BundleError
from roadmap.io.atomic import atomic_folder
from serving.sources import DiscoveredBundle, SourceError, open_source
from tests.support import bundles
from tests.support.sources import found

# -------------------------------------------------------------------- folders


@pytest.mark.parametrize("inside", ["titanic/bundle", "titanic", "", "bundle"])
def test_a_folder_may_hold_projects_or_be_one_bundle(inside: str, tmp_path: Path, cache: Path) -> None:
    made = bundles.titanic(tmp_path / "here" / inside / "x")
    shutil.copytree(tmp_path / "here" / inside / "x", tmp_path / "here" / inside, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "here" / inside / "x")
    there = open_source(str(tmp_path / "here"), cache).find()
    assert list(there) == ["titanic"]
    one = there["titanic"]
    assert isinstance(one, DiscoveredBundle)
    assert Bundle(one.fetch()).manifest == made
    assert not cache.exists(), "local bundles are not copied"


def test_other_files_are_not_bundles(tmp_path: Path, cache: Path) -> None:
    bundles.make_all(tmp_path)
    shutil.copytree(tmp_path / "titanic" / "bundle", tmp_path / "titanic" / "champion")
    (tmp_path / "imdb" / "bundle").mkdir(parents=True)
    (tmp_path / "store.json").write_text("{}")
    assert set(open_source(str(tmp_path), cache).find()) == {"titanic", "house_prices", "mnist"}


def test_a_missing_folder_is_empty(tmp_path: Path, cache: Path) -> None:
    assert open_source(str(tmp_path / "absent"), cache).find() == {}


def test_the_fingerprint_depends_on_the_content(tmp_path: Path, cache: Path) -> None:
    bundle = tmp_path / "titanic" / "bundle"
    bundles.titanic(bundle)
    source = open_source(str(tmp_path), cache)
    marks = [found(source).fingerprint]
    assert found(source).fingerprint == marks[0]

    with atomic_folder(bundle) as draft:  # like a training
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        bundles.another(draft)
    marks.append(found(source).fingerprint)
    (bundle / "extra.bin").write_bytes(b"x")
    marks.append(found(source).fingerprint)
    (bundle / "extra.bin").write_bytes(b"yz")
    marks.append(found(source).fingerprint)
    (bundle / "model.onnx").unlink()
    marks.append(found(source).fingerprint)
    assert len(set(marks)) == len(marks)


def test_an_unreadable_bundle_does_not_hide_the_others(tmp_path: Path, cache: Path) -> None:
    bundles.make_all(tmp_path)
    (tmp_path / "mnist" / "bundle" / "gone.bin").symlink_to(tmp_path / "nowhere")
    there = open_source(str(tmp_path), cache).find()
    assert isinstance(there["mnist"], SourceError) and "cannot be read" in str(there["mnist"])
    assert isinstance(there["titanic"], DiscoveredBundle)


def test_bundles_are_found_while_being_replaced(tmp_path: Path, cache: Path) -> None:
    bundle = tmp_path / "titanic" / "bundle"
    versions = {bundles.titanic(bundle).version}
    source, stop = open_source(str(tmp_path), cache), threading.Event()

    def train() -> None:
        for number in range(1000):
            if stop.is_set():
                return
            with atomic_folder(bundle) as draft:
                shutil.copytree(bundle, draft, dirs_exist_ok=True)
                versions.add(bundles.another(draft, f"note {number}").version)

    training = threading.Thread(target=train)
    training.start()
    whole = 0
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        one = source.find().get("titanic")
        if isinstance(one, DiscoveredBundle):
            try:
                whole += Bundle(one.fetch()).manifest.version in versions
            except (BundleError, OSError):
                continue  # caught midway: rejected, never partially read
    stop.set()
    training.join()
    assert whole > 10
    assert Bundle(found(source).fetch()).manifest.version in versions


def test_polling_seven_projects_takes_less_than_five_milliseconds(tmp_path: Path, cache: Path) -> None:
    for number in range(7):
        bundles.titanic(tmp_path / f"project{number}" / "bundle")
    source = open_source(str(tmp_path), cache)

    def look() -> float:
        started = time.thread_time()
        assert len(source.find()) == 7
        return time.thread_time() - started

    assert min(look() for _ in range(20)) < 0.005


# -------------------------------------------------------------------- what may be said


@pytest.mark.parametrize(
    "wrong",
    [
        "", "artifacts,", "s3://", "s3:///prefix", "s3://No_Bucket/x", "http://example.org/bundles", "gs://bucket",
        "models:/", "models:/mnist", "models:/mnist/Production", "models:/mnist@", "models:/@", "models:/@champion/3",
        "models://mnist@champion", "models:/mnist/0", "models:/a/b@champion",
    ],
)  # fmt: skip
def test_an_invalid_source_is_rejected_with_the_valid_forms(wrong: str, cache: Path) -> None:
    with pytest.raises(SourceError, match="models:/<name>@<alias>") as caught:
        open_source(wrong, cache)
    assert "\n" not in str(caught.value)


def test_the_earlier_source_wins(tmp_path: Path, cache: Path) -> None:
    bundles.titanic(tmp_path / "a" / "titanic" / "bundle")
    bundles.make_all(tmp_path / "b")
    there = open_source(f"{tmp_path}/a, {tmp_path}/b", cache).find()
    assert set(there) == {"titanic", "house_prices", "mnist"}
    assert isinstance(there["titanic"], DiscoveredBundle)
    assert there["titanic"].fetch() == tmp_path / "a" / "titanic" / "bundle"
