"""What Weights & Biases gets: the file of an offline run, read back."""

import importlib.util
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from roadmap.bundle import write_manifest
from roadmap.config.check import check
from roadmap.config.params import params
from roadmap.config.schema import SHIPPED, Run
from roadmap.io.errors import UsageError
from roadmap.tracking.tracker import Tracker
from roadmap.tracking.wandb_process import WandbWriter
from tests.support.checkouts import ROOT

LINEAGE = {"source": "embedded", "git_commit": None, "data_sha256": "d" * 64, "params_sha256": "e" * 64}
KEY = "0123456789abcdef"


def records(run: Path) -> Iterator[Any]:
    """Of run-<id>.wandb: LevelDB's log format behind a header of 7 bytes; records longer than a block come in parts."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made at run time

    data, position, parts = run.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32_768 - position % 32_768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Of titanic, with a bundle, its curves, metrics and a plot in artifacts/."""
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    found = check(
        {
            **params(ROOT),
            "project": "titanic",
            "trainer": {"devices": 1, "precision": "32-true"},
            "tracking": {"wandb": True},
        }
    )
    monkeypatch.chdir(tmp_path)
    bundle, plots = found.artifacts / "bundle", found.artifacts / "plots"
    bundle.mkdir(parents=True)
    (bundle / "model.onnx").write_bytes(b"weights")
    origin = {"project": "titanic", "predictor": "pipelines.titanic.predict", "profile": "sample", "created": "now"}
    manifest = write_manifest(bundle, **origin, **LINEAGE, run=KEY)
    (found.artifacts / "history.csv").write_text("variant,epoch\n")
    metrics = {
        "headline": {"name": "accuracy", "value": 0.81},
        "baselines": {"majority": {"value": 0.6}, "forest": {"value": 0.8, "cv": {"mean": 0.79}}},
        "bundle_version": manifest.version,
    }
    (found.artifacts / "metrics.json").write_text(json.dumps(metrics))
    (found.artifacts / "train.json").write_text(json.dumps({"seconds": 9, "bundle_version": "of an earlier bundle"}))
    plots.mkdir()
    Figure().savefig(plots / "confusion.png")
    return found


def test_an_offline_run_has_the_curves_tables_plots_and_files(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = WandbWriter(run)
    writer.start(KEY, LINEAGE)
    for variant in (SHIPPED, "logistic"):
        for epoch in range(2):
            writer.row(variant, {"epoch": epoch, "val_loss": 0.5 - epoch / 10, "time": 1.7e9})
    writer.publish()
    writer.close()

    (file,) = tmp_path.glob(f"wandb/offline-run-*-{KEY}/run-{KEY}.wandb")
    assert f"`wandb sync {file.parent.relative_to(tmp_path)}`" in capsys.readouterr().out
    written = list(records(file))
    rows = [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in written
        if record.HasField("history")
    ]
    assert [row["val_loss"] for row in rows if "val_loss" in row][:2] == [0.5, 0.4]
    assert [row["logistic/val_loss"] for row in rows if "logistic/val_loss" in row][:2] == [0.5, 0.4]
    axes = {record.metric.name: record.metric.step_metric for record in written if record.HasField("metric")}
    assert axes["val_loss"] == "epoch" and axes["logistic/val_loss"] == "logistic/epoch"
    summary = {
        item.key or ".".join(item.nested_key): json.loads(item.value_json)
        for record in written
        for item in record.summary.update
    }
    assert summary["metrics/headline.value"] == 0.81
    assert not any(name.startswith("train/") for name in summary), "of an earlier bundle"
    artifacts = {
        record.artifact.name: {entry.path for entry in record.artifact.manifest.contents}
        for record in written
        if record.HasField("artifact")
    }
    assert artifacts["titanic"] == {"bundle.json", "model.onnx"}
    assert artifacts["titanic-results"] == {"history.csv", "metrics.json"}
    (table,) = file.parent.glob("files/media/table/baselines*.json")
    assert json.loads(table.read_text()) == {
        "columns": ["name", "value", "cv.mean"], "data": [["majority", 0.6, None], ["forest", 0.8, 0.79]]
    }  # fmt: skip
    assert list(file.parent.glob("files/media/images/plots/confusion*.png"))


def test_without_the_package_there_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"tracking=wandb: the package wandb is not installed; `pip install"):
        Tracker(run)
