"""Bundles: their manifest, rejection of any change, and no executable code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml

from roadmap.bundle import Bundle, BundleError, Manifest, load_predictor, sha256, write_manifest
from roadmap.bundle.code import code_sha256

LINEAGE: dict[str, Any] = {
    "project": "titanic",
    "predictor": "pipelines.titanic.predict",
    "profile": "sample",
    "source": "a table",
    "created": "2026-11-24T07:00:00+00:00",
    "git_commit": None,
    "data_sha256": "1" * 64,
    "params_sha256": "2" * 64,
    "run": "3" * 32,
}


def filled(folder: Path) -> Path:
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "example.json").write_text('[{"a": 1}]')
    (folder / "tokenizer" / "词表.json").write_text("[]")
    return folder


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = filled(tmp_path / "bundle")
    write_manifest(folder, **LINEAGE)
    return folder


def test_a_written_bundle_opens_with_its_lineage(tmp_path: Path) -> None:
    folder = filled(tmp_path / "bundle")
    manifest = write_manifest(folder, **LINEAGE)
    bundle = Bundle(folder)
    assert bundle.manifest == manifest
    assert bundle.manifest.model_dump(include=set(LINEAGE)) == LINEAGE
    assert set(bundle.manifest.files) == {"model.onnx", "example.json", "tokenizer/词表.json"}
    assert bundle.example == [{"a": 1}]
    assert Bundle(shutil.copytree(folder, tmp_path / "elsewhere")).manifest == manifest


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def reach_out(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    edit(folder, files={**Bundle(folder).manifest.files, "../secret": sha256(folder.parent / "secret")})


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a changed byte": (lambda f: flip(f / "model.onnx"), "model.onnx: content differs"),
    "a changed byte further down": (
        lambda f: flip(f / "tokenizer" / "词表.json"),
        "tokenizer/词表.json: content differs",
    ),
    "a file cut to nothing": (lambda f: (f / "model.onnx").write_bytes(b""), "model.onnx: content differs"),
    "a missing file": (lambda f: (f / "example.json").unlink(), "example.json: missing"),
    "an added file": (lambda f: (f / "payload.py").write_text(""), "payload.py: not in the manifest"),
    "an added hidden file": (lambda f: (f / "tokenizer" / ".x").write_text(""), "tokenizer/.x: not in the manifest"),
    "no manifest": (lambda f: (f / "bundle.json").unlink(), "no bundle.json; train the project first"),
    "no folder": (shutil.rmtree, "no bundle.json; train the project first"),
    "a broken manifest": (lambda f: (f / "bundle.json").write_text('{"project": '), "bundle.json: "),
    "an empty manifest": (lambda f: (f / "bundle.json").write_text(""), "bundle.json: "),
    "an unknown key": (lambda f: edit(f, exec="rm"), "bundle.json: "),
    "an unknown runtime": (lambda f: edit(f, runtime="pickle"), "bundle.json: "),
    "a file outside the bundle": (reach_out, "../secret: missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_changed_bundle_is_rejected_by_file_name(sealed: Path, what: str) -> None:
    damage, message = DAMAGE[what]
    damage(sealed)
    with pytest.raises(BundleError) as caught:
        Bundle(sealed)
    assert message in str(caught.value)
    assert str(sealed) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "predictor",
    [
        "os", "builtins.eval", "pipelines.train", "pipelines.titanic.data",
        "roadmap.promotion.pyfunc", "serving.http.app",
        "pipelines..predict", "pipelines.titanic.predict.os", "xpipelines.titanic.predict",
        "pipelines.titanic.predict\n", "pipelines.Titanic.predict", "../pipelines.titanic.predict", "",
    ],
)  # fmt: skip
def test_only_project_predictors_are_imported(sealed: Path, predictor: str) -> None:
    edit(sealed, predictor=predictor)
    with pytest.raises(BundleError, match=r"bundle\.json: "):
        Bundle(sealed)
    with pytest.raises(ValueError, match="predictor"):
        Manifest(**{**LINEAGE, "predictor": predictor}, files={})


def test_the_version_depends_on_content_only(tmp_path: Path) -> None:
    one, same, other = (filled(tmp_path / name) for name in ("one", "same", "other"))
    flip(other / "model.onnx")
    later = {**LINEAGE, "created": "2027-01-01T00:00:00+00:00", "run": "4" * 32, "git_commit": "5" * 40}
    versions = [
        write_manifest(one, **LINEAGE).version,
        write_manifest(same, **later).version,
        write_manifest(other, **LINEAGE).version,
    ]
    assert versions[0] == versions[1] != versions[2]
    assert len(versions[0]) == 12
    (one / "model.onnx").rename(one / "graph.onnx")
    assert write_manifest(one, **LINEAGE).version != versions[0], "file names are part of the content"


def test_writing_the_manifest_again_changes_nothing(sealed: Path) -> None:
    before = (sealed / "bundle.json").read_bytes()
    write_manifest(sealed, **LINEAGE)
    assert (sealed / "bundle.json").read_bytes() == before


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, np.ndarray]:
    """A bundle as `train` writes it, its (untrained) network and the first training rows."""
    from models.titanic import Classifier
    from pipelines.titanic.data import Data
    from roadmap.config.check import check
    from roadmap.data import splits
    from roadmap.data.training_set import MODEL
    from roadmap.training.bundling import write_bundle
    from roadmap.training.callbacks import MetricHistory
    from roadmap.training.fitting import Fitted

    folder = tmp_path_factory.mktemp("written")
    raw = yaml.safe_load(Path("params.yaml").read_text())
    run = check({**raw, "project": "titanic", "trainer": {"devices": 1, "precision": "32-true"}, "tracking": {}})
    splits.write(folder / "data" / "titanic", Data().prepare(run.settings.data, "sample", 1), "sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        content = Data().training(Path("data/titanic"))
        model = Classifier(**content.model, **run.settings.model.kwargs()).eval()
        lineage = {name: LINEAGE[name] for name in ("source", "git_commit", "data_sha256", "params_sha256", "run")}
        fitted = Fitted(model, content, MetricHistory("titanic", lambda row: None))
        write_bundle(run, {MODEL: fitted}, lineage, lambda bundle: {})
    return folder / "artifacts" / "titanic" / "bundle", model, content.train[0][:2]


def test_a_trained_bundle_has_json_and_onnx_and_no_pickle(written: tuple[Path, Any, np.ndarray]) -> None:
    folder, *_ = written
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".onnx"}
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            onnx.checker.check_model(onnx.load(path))
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_trained_bundle_matches_the_network_on_its_example(written: tuple[Path, Any, np.ndarray]) -> None:
    folder, model, x = written
    bundle = Bundle(folder)
    predictor: Any = load_predictor(bundle)
    outputs = predictor.predict([predictor.Request.model_validate(row) for row in bundle.example])
    expected = model(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose([output.probability for output in outputs], expected, rtol=1e-4)


def made_with(folder: Path, **changes: Any) -> Bundle:
    write_manifest(filled(folder), **LINEAGE)
    if changes:
        edit(folder, **changes)
    return Bundle(folder)


def test_a_bundle_records_its_predictor_code(tmp_path: Path) -> None:
    same, other = made_with(tmp_path / "same"), made_with(tmp_path / "other", code_sha256="f" * 64)
    assert same.manifest.code_sha256 == code_sha256("pipelines.titanic.predict")
    assert (same.manifest.code, other.manifest.code) == ("same", "changed")
    assert same.manifest.version == other.manifest.version, "the version identifies the model, not the code"
    same.require_same_code()
    with pytest.raises(BundleError) as caught:
        other.require_same_code()
    message = str(caught.value)
    assert "found ffffffffffff; expected" in message and "dvc repro register@titanic" in message and "\n" not in message


def test_an_older_bundle_has_no_code_hash(tmp_path: Path) -> None:
    write_manifest(filled(tmp_path / "old"), **LINEAGE)
    path = tmp_path / "old" / "bundle.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "code_sha256"}))
    old = Bundle(tmp_path / "old")
    assert old.manifest.code == "unknown"
    old.require_same_code()


def test_a_predictor_outside_the_checkout_has_no_hash(tmp_path: Path) -> None:
    assert (
        write_manifest(filled(tmp_path / "one"), **{**LINEAGE, "predictor": "pipelines.elsewhere.predict"}).code
        == "unknown"
    )
