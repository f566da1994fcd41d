"""python -m pipelines.ab: both versions from the log, and a verdict that may be checked every day."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import ab
from roadmap.bundle import Bundle, load_predictor
from roadmap.evaluation.labelled import LabelScorer
from roadmap.experiments.arms import agree
from roadmap.io.errors import UsageError
from roadmap.io.http import Answer
from roadmap.prediction_log import labels
from roadmap.prediction_log.labels import Label
from roadmap.prediction_log.log import PredictionRecord, open_store
from roadmap.project import TakesLabels, load_project
from tests.support import bundles
from tests.support.checkouts import ROOT

NOW = datetime.now(UTC)
INPUT = json.dumps({"class": "1st", "sex": "female", "age": "adult"})


@pytest.mark.parametrize(
    ("first", "second", "classes", "same"),
    [
        ({"label": "a", "probability": 0.9}, {"label": "a", "probability": 0.6}, True, True),
        ({"digit": 3, "probabilities": [0.1]}, {"digit": 4, "probabilities": [0.1]}, True, False),
        ({"prediction": 100.0}, {"prediction": 104.0}, False, True),
        ({"prediction": 100.0}, {"prediction": 106.0}, False, False),
        ({"symbol": "X", "horizons": [{"p": 1.0}]}, {"symbol": "X", "horizons": [{"p": 2.0}]}, False, False),
    ],
)
def test_agreement_of_two_outputs(first: dict[str, Any], second: dict[str, Any], classes: bool, same: bool) -> None:
    assert agree(first, second, classes) is same


# ---------------------------------------------------------------- from the log to the page


class Log:
    """A log of two versions of titanic, with labels arriving day by day."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        home = folder / "artifacts" / "titanic"
        self.champion = bundles.titanic(home / "champion")
        shutil.copytree(home / "champion", home / "challenger")
        self.challenger = bundles.another(home / "challenger")

    def write(self, mode: str, right: tuple[float, float], days: int = 10, daily: int = 200) -> None:
        """right: how often the champion and the challenger are right"""
        rng = np.random.default_rng(3)
        rows: list[PredictionRecord] = []
        known: list[Label] = []
        for day in range(days):
            time = NOW - timedelta(days=days - day)
            for number in range(daily):
                request_id = f"r{day}-{number}"
                truth = str(rng.choice(["died", "survived"]))
                wrong = {"died": "survived", "survived": "died"}[truth]
                sure = rng.random()
                for place, manifest in enumerate((self.champion, self.challenger)):
                    if mode == "split" and number % 2 != place:
                        continue
                    label = truth if sure < right[place] else wrong
                    output = json.dumps({"label": label, "probability": 0.9 if label == "survived" else 0.1})
                    at = time + timedelta(seconds=number + 0.1 * place)
                    rows.append(
                        PredictionRecord(at, request_id, "titanic", manifest.version, "sample", INPUT, output, 0.002)
                    )
                known.append(Label(request_id, 0, truth, time + timedelta(hours=1)))
        open_store(self.url).write(rows)
        labels.write(self.url, "titanic", known)

    def judge(self, **options: Any) -> dict[str, Any]:
        given = {"champion": "", "challenger": "", "server": "", "days": 60, "log": self.url}
        return ab.ab("titanic", **{**given, **options})


@pytest.fixture(params=["folder", "database"])
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    url = str(tmp_path / "log") if request.param == "folder" else f"sqlite:///{tmp_path / 'log.db'}"
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    yield Log(tmp_path, url)


@pytest.mark.parametrize("mode", ["mirrored", "split"])
@pytest.mark.parametrize(("right", "verdict"), [((0.7, 0.85), "better"), ((0.85, 0.7), "worse")])
def test_the_better_version_is_named(log: Log, mode: str, right: tuple[float, float], verdict: str) -> None:
    log.write(mode, right)
    found = log.judge()
    score = found["score"]
    assert (score["mode"], score["metric"], score["verdict"]) == (mode, "accuracy", verdict)
    assert score["p"] < 0.05
    assert [arm["version"] for arm in found["arms"]] == [log.champion.version, log.challenger.version]
    assert found["mirrored"]["inputs"] == (2000 if mode == "mirrored" else 0)
    assert found["arms"][0]["requests"] == (2000 if mode == "mirrored" else 1000)
    assert score["champion"] == pytest.approx(right[0], abs=0.04)
    assert len(score["looks"]) == 10 and score["looks"][-1]["labels"] == 2000
    home = log.folder / "artifacts" / "titanic" / "monitoring"
    assert json.loads((home / "ab.json").read_text()) == found
    page = (home / "ab.html").read_text()
    assert found["summary"] in page and log.challenger.version in page and "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_without_labels_agreement_is_reported(log: Log) -> None:
    log.write("mirrored", (0.8, 0.7), days=1)
    shutil.rmtree(log.folder / "log" / "_labels", ignore_errors=True)
    known = labels.read(log.url, "titanic")
    found = log.judge()
    assert found["mirrored"]["agreement"] == pytest.approx(0.9, abs=0.05)
    if not known:
        assert found["score"] is None and "no labels yet" in found["summary"]


def test_few_labels_are_undecided(log: Log) -> None:
    log.write("mirrored", (0.2, 0.9), days=2, daily=40)
    found = log.judge()
    assert found["score"]["verdict"] == "undecided" and found["score"]["p"] == 1


def test_the_only_other_version_is_the_challenger(log: Log) -> None:
    log.write("mirrored", (0.8, 0.8), days=1)
    shutil.rmtree(log.folder / "artifacts" / "titanic" / "challenger")
    assert log.judge()["arms"][1]["version"] == log.challenger.version


def test_errors_are_one_line(log: Log) -> None:
    log.write("mirrored", (0.8, 0.8), days=1, daily=2)
    for options, words in [
        ({"challenger": "abc"}, "challenger: found no predictions of abc in the log; it has"),
        ({"log": ""}, "log: missing"),
        ({"log": "nowhere"}, "found no folder nowhere"),
    ]:
        with pytest.raises(UsageError, match=words):
            log.judge(**options)


def test_failures_are_read_from_the_server(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write("mirrored", (0.8, 0.8), days=1, daily=2)
    assert log.judge()["arms"][0]["failed"] is None
    assert "is unreachable" in log.judge(server="http://127.0.0.1:9")["failures"]
    version = log.challenger.version
    line = 'serving_arm_requests_total{{outcome="{}",project="titanic",role="shadow",version="{}"}} {}\n'

    page = line.format("failed", version, 3.0) + line.format("answered", version, 5.0)
    monkeypatch.setattr(ab, "ask", lambda url, **_: Answer(200, url, {}, page.encode()))
    assert [arm["failed"] for arm in log.judge(server="http://here")["arms"]] == [0, 3]


def test_the_command_line(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.write("mirrored", (0.7, 0.9), days=3)
    environment = {**os.environ, "SERVING_PREDICTIONS": log.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines.ab"]
    done = subprocess.run(
        [*command, "project=titanic"], capture_output=True, text=True, env=environment, cwd=log.folder
    )
    assert done.returncode == 0 and "is better than the champion" in done.stdout, done.stderr
    for mistake, label in (("project=titanc", "did you mean 'titanic'"), ("days=0", "days: found '0'")):
        assert ab.main(["project=titanic", f"log={log.url}", mistake]) == 2
        assert label in capsys.readouterr().err


@pytest.mark.parametrize("project", bundles.ALL)
def test_every_project_is_compared_by_its_own_score_or_not_at_all(project: str, tmp_path: Path) -> None:
    bundles.ALL[project](tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle")
    predictor = load_predictor(bundle)
    outputs = [one.model_dump() for one in predictor.predict([predictor.Request(**one) for one in bundle.example])]
    schema = bundle.json("schema.json") if "schema.json" in bundle.manifest.files else {}
    truth = schema["classes"][0] if "classes" in schema else "3.5"
    scorer = LabelScorer(load_project(project), schema)
    rows = [scorer.row(truth, one) for one in bundle.example]
    takes = isinstance(load_project(project).data, TakesLabels)
    assert [row is not None for row in rows] == [takes] * len(rows)
    if takes:
        assert len(scorer.score([row for row in rows if row], outputs).per_item) == len(outputs)
        assert scorer.row("neither a class nor a number", bundle.example[0]) is None
