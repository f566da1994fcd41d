"""A bundle in another precision: same answers, its own identity, calibrated on training rows, served without torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle, load_predictor
from roadmap.config.settings import ExportSettings, Precision
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.quantisation.bundles import quantised, require_independent_rows
from roadmap.quantisation.calibration import MOST, Recorder, runs_of, training_requests
from serving.http.app import create_app
from serving.settings import Settings
from tests.support.bundles import glyphs, mnist, translation

DIGITS: list[JsonObject] = [{"image": image.tolist()} for image in glyphs()]
RUNNING: tuple[Precision, ...] = ("fp16", "int8_dynamic", "int8_static", "int8_weights", "int4_weights")
SERVED = """
import json, sys
sys.modules["torch"] = None
from roadmap.bundle import Bundle, load_predictor
predictor = load_predictor(Bundle(sys.argv[1]))
print(len(predictor.predict([predictor.Request.model_validate(one) for one in json.loads(sys.argv[2])])))
"""


def nothing(_: Bundle) -> dict[str, str]:
    return {}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    mnist(tmp_path / "artifacts" / "mnist" / "bundle")
    return Bundle(tmp_path / "artifacts" / "mnist" / "bundle")


def in_precision(bundle: Bundle, precision: Precision, **export: Any) -> Bundle:
    folder = bundle.folder.with_name(precision)
    quantised(bundle, folder, ExportSettings(precision=precision, **export), DIGITS, nothing)
    return Bundle(folder)


@pytest.mark.parametrize("precision", RUNNING)
def test_it_answers_alike_under_a_version_of_its_own(bundle: Bundle, precision: Precision) -> None:
    found = in_precision(bundle, precision)
    assert found.manifest.precision == precision and found.manifest.quantised_from == bundle.manifest.version
    assert found.manifest.version != bundle.manifest.version and found.manifest.run != bundle.manifest.run
    assert {name for name in found.manifest.files if not name.endswith(".onnx")} == {"example.json", "schema.json"}
    predictor = load_predictor(found)
    answers = predictor.predict([predictor.Request.model_validate(one) for one in DIGITS])
    assert [answer.digit for answer in answers] == list(range(10))


def test_it_is_served_without_torch_and_says_its_precision(bundle: Bundle, tmp_path: Path) -> None:
    found = in_precision(bundle, "int8_static")
    command = [sys.executable, "-c", SERVED, str(found.folder), json.dumps(DIGITS[:2])]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2\n"
    (tmp_path / "served" / "mnist").mkdir(parents=True)
    found.folder.rename(tmp_path / "served" / "mnist" / "bundle")
    with TestClient(create_app(Settings(bundles=str(tmp_path / "served")))) as client:
        (model,) = client.get("/models").json()["models"]
        assert model["precision"] == "int8_static" and model["quantised_from"] == bundle.manifest.version
        answer = client.post("/models/mnist/predict", json={"inputs": DIGITS[3:4]}).json()
        assert answer["outputs"][0]["digit"] == 3


def test_answers_of_int8_dynamic_do_not_depend_on_the_batch(bundle: Bundle) -> None:
    """Rows of very different ranges, which a batch would quantise by the largest."""
    session = in_precision(bundle, "int8_dynamic").session()
    x = (
        np.random.default_rng(0).random((4, 1, 8, 8), np.float32)
        * np.array([0.01, 0.1, 1, 10], np.float32)[:, None, None, None]
    )
    alone = np.concatenate([session.run(["y"], {"x": row[None]})[0] for row in x])
    np.testing.assert_array_equal(session.run(["y"], {"x": x})[0], alone)


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ({"precision": "int8_static", "keep": ("nothing",)}, r"export.keep: found 'nothing'.* expected one of Gemm_1"),
        ({"precision": "int8_static", "keep": ("*",)}, "found no layer to change"),
    ],
)
def test_what_would_change_nothing_is_refused(bundle: Bundle, export: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        quantised(bundle, bundle.folder.with_name("q"), ExportSettings(**export), DIGITS, nothing)


def test_a_quantised_bundle_is_not_quantised_again(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="precision: found int8_static; expected fp32"):
        in_precision(in_precision(bundle, "int8_static"), "fp16")


def test_rows_that_depend_on_each_other_have_no_dynamic_ranges(tmp_path: Path) -> None:
    """A row of a beam goes on from another row's state."""
    translation(tmp_path / "bundle")
    bundle, asked = Bundle(tmp_path / "bundle"), [{"text": text} for text in ("drei Hunde", "Hunde laufen schnell")]
    with pytest.raises(UsageError, match=r"decoder.onnx: int8_dynamic: found rows that depend on each other"):
        require_independent_rows(bundle, asked)


class Rows:
    """A project whose splits are numbers, and that remembers which were asked for."""

    def __init__(self) -> None:
        self.data = self
        self.asked: list[str] = []

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[JsonObject], np.ndarray]:
        self.asked.append(split)
        start = {"train": 0, "val": 1000, "test": 2000}[split]
        return [{"row": start + n} for n in range(100)], np.zeros(100)


def test_calibration_reads_training_rows_alone(tmp_path: Path) -> None:
    project: Any = Rows()
    found = training_requests(project, tmp_path, 30, seed=1)
    assert project.asked == ["train"] and len({one["row"] for one in found}) == 30
    assert all(one["row"] < 1000 for one in found)
    assert found == training_requests(project, tmp_path, 30, seed=1) != training_requests(project, tmp_path, 30, seed=2)
    assert len(training_requests(project, tmp_path, 500, seed=1)) == 100


def test_the_runs_are_those_of_the_requests(bundle: Bundle) -> None:
    (runs,) = runs_of(bundle, DIGITS).values()
    np.testing.assert_allclose([run["x"][0, 0] for run in runs], glyphs() / 255, atol=1e-6)
    (runs,) = runs_of(bundle, DIGITS, at_once=4).values()
    assert [len(run["x"]) for run in runs] == [4, 4, 2]


def test_a_recorder_keeps_a_sample_of_all_runs() -> None:
    class Session:
        def run(self, *_: object) -> list[np.ndarray]:
            return []

    feeds: list[Any] = []
    recorder = Recorder(Session(), feeds)
    for n in range(4 * MOST):
        recorder.run(None, {"x": np.array(n)})
    kept = [int(feed["x"]) for feed in feeds]
    assert len(kept) == MOST and 1.5 * MOST < np.mean(kept) < 2.5 * MOST
