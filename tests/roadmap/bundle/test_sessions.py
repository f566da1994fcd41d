"""Where graphs run: providers that are not there are left out with one warning, engines have a folder of their own."""

import logging
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from roadmap.bundle import Bundle, Execution, load_predictor, sessions
from serving.http.app import create_app
from serving.settings import Settings, at_fault
from tests.support.bundles import glyphs, mnist

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture(autouse=True)
def first_warning() -> None:
    sessions._warn.cache_clear()


class Recorded:
    """An InferenceSession that tells what it was made with, and starts no provider but the CPU's."""

    made: Any = None

    def __init__(self, path: Path, options: object, providers: list[Any]) -> None:
        Recorded.made = providers

    def get_providers(self) -> list[str]:
        return ALL[-1:]

    def get_modelmeta(self) -> Any:
        return type("Meta", (), {"custom_metadata_map": {}})


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it is there")
def test_a_missing_provider_is_one_warning_and_the_cpu_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "other"):
        mnist(tmp_path / name)
        bundle = Bundle(tmp_path / name, Execution(("cuda",)))
        predictor = load_predictor(bundle)
        request = predictor.Request.model_validate({"image": glyphs()[3].tolist()})
        assert predictor.predict([request])[0].digit == 3
    (line,) = warnings(caplog)
    assert line.startswith("provider cuda is in none of this ONNX Runtime's providers (") and "CPU" in line


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it is there")
def test_the_server_falls_back_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mnist(tmp_path / "mnist" / "bundle")
    settings = Settings(bundles=str(tmp_path), providers="tensorrt, cuda,cpu", cache=tmp_path / "cache")
    with TestClient(create_app(settings)) as client:
        body = {"inputs": [{"image": glyphs()[7].tolist()}]}
        assert client.post("/models/mnist/predict", json=body).json()["outputs"][0]["digit"] == 7
    assert [line.split()[1] for line in warnings(caplog) if line.startswith("provider")] == ["tensorrt", "cuda"]


def test_an_unknown_provider_names_the_known_ones() -> None:
    with pytest.raises(ValidationError) as error:
        Settings(providers="cpu,gpu")
    assert "--providers (or SERVING_PROVIDERS)" in at_fault(error.value) and "'gpu'" in at_fault(error.value)
    assert "cpu, cuda, tensorrt" in at_fault(error.value)


def test_engines_are_kept_by_version_and_outside_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path / "bundle")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    settings = Settings(providers="tensorrt,cuda", cache=tmp_path / "cache")
    bundle = Bundle(tmp_path / "bundle", settings.execution)
    bundle.session()
    (tensorrt, options), (cuda, none), cpu = Recorded.made
    assert [tensorrt, cuda, cpu] == ALL and none == {}
    engines = tmp_path / "cache" / ".engines" / bundle.manifest.version
    assert options["trt_engine_cache_path"] == str(engines) and options["trt_engine_cache_enable"] == "True"
    assert engines.is_dir()
    Bundle(tmp_path / "bundle")  # still whole


def test_a_provider_that_does_not_start_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The package has CUDA, the machine has no GPU."""
    mnist(tmp_path / "bundle")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    for _ in range(2):
        Bundle(tmp_path / "bundle", Execution(("cuda",))).session()
    (line,) = warnings(caplog)
    assert line.startswith("provider cuda could not be started")
