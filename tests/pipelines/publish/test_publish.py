"""Publishing: what is in the repository, what is refused, and a server that takes it from the hub."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from pipelines import publish
from roadmap.bundle import MANIFEST, Bundle, BundleError, load_predictor, write_manifest
from roadmap.publishing.licences import licence_of
from serving.sources import SourceError, open_source
from tests.standins.protocol_server import Reply
from tests.standins.writable_hub import TOKEN, WritableHub
from tests.support import bundles
from tests.support.checkouts import ROOT
from tests.support.sources import found

NAME = "me/people"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a promoted bundle of titanic."""
    for name in ("params.yaml", "pipelines"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    artifacts = Path("artifacts/titanic")
    bundles.titanic(artifacts / "bundle")
    manifest = Bundle(artifacts / "bundle").manifest
    metrics = {
        "headline": {"name": "accuracy", "value": 0.8, "ci95_low": 0.75, "ci95_high": 0.85, "higher_is_better": True},
        "baselines": {"majority": {"test": 0.6}},
        "slices": {"sex=female": {"rows": 70, "accuracy": 0.9}, "sex=male": {"rows": 261, "accuracy": 0.7}},
        "behaviour": {"first class | third": {"rate": 0.98, "cases": 50, "asked": 0.95, "passed": True}},
        "rows": {"test": 331},
        "latency": {"batch_1": {"p50_ms": 0.1, "p95_ms": 0.2}},
        "size_bytes": 5_600,
        "seconds": {"train": 1.0},
        "profile": "sample",
        "source": "2,201 people",
        "data_sha256": manifest.data_sha256,
        "bundle_version": manifest.version,
    }
    write(artifacts / "metrics.json", metrics)
    write(artifacts / "decision.json", {"promoted": True, "summary": "titanic: promoted.", "bundle": manifest.version})
    card = {
        "profile": "sample", "source": "2,201 people", "licence": "CC BY 4.0 (UCI)", "files": {},
        "schema": {"task": "binary"}, "rows": {"train": 1541, "val": 329, "test": 331}, "sha256": manifest.data_sha256,
    }  # fmt: skip
    write(Path("data/titanic/card.json"), card)
    return tmp_path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: str, **changes: Any) -> None:
    write(Path(path), {**json.loads(Path(path).read_bytes()), **changes})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WritableHub]:
    made = WritableHub()
    with made.running() as base:
        monkeypatch.setenv("HF_ENDPOINT", base)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield made


def test_the_card_says_what_the_model_is_worth_and_where_it_fails(folder: Path) -> None:
    assert publish.main(["project=titanic", "to=out/people"]) == 0
    card = ModelCard.load("out/people/README.md")
    assert card.data.license == "cc-by-4.0"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.8)
    for line in (
        "| this model | 0.8000 (0.7500 to 0.8500) |",
        "| majority | 0.6000 |",
        "| sex=male | 261 | 0.7000 |",
        "| first class \\| third | 50 | 98.0% | 95.0% |",
        "- It is weakest on sex=male: accuracy 0.7000.",
        "- Not always: first class | third (98.0% of 50 cases).",
        "python -m serving --bundles out/people/bundle",
        "titanic: promoted.",
    ):
        assert line in card.text
    assert "| licence | CC BY 4.0 (UCI) |" in Path("out/people/DATA_CARD.md").read_text()
    assert found(open_source("out/people/bundle", folder)).fetch() == Path("out/people/bundle")


def test_a_server_takes_it_from_the_hub(folder: Path, hub: WritableHub, cache: Path) -> None:
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) == 0
    taken, made = Bundle(found(open_source(f"hub://{NAME}", cache)).fetch()), Bundle("artifacts/titanic/bundle")
    assert taken.folder.is_relative_to(cache)
    assert answers(taken) == answers(made)


def answers(bundle: Bundle) -> Sequence[Any]:
    predictor = load_predictor(bundle)
    return predictor.predict([predictor.Request(**row) for row in bundle.example])


def test_a_new_version_replaces_the_files_and_the_old_one_stays_by_its_commit(
    folder: Path, hub: WritableHub, cache: Path
) -> None:
    bundle = Path("artifacts/titanic/bundle")
    (bundle / "extra.json").write_text("{}")
    first = renewed(bundle)
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) == 0
    commit = hub.sha(NAME, "main")
    (bundle / "extra.json").unlink()
    second = renewed(bundle)
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) == 0
    assert "bundle/extra.json" not in hub.files(NAME)
    versions = {
        source: Bundle(found(open_source(source, cache)).fetch()).manifest.version
        for source in (f"hub://{NAME}", f"hub://{NAME}@{commit}")
    }
    assert versions == {f"hub://{NAME}": second, f"hub://{NAME}@{commit}": first}


def renewed(bundle: Path) -> str:
    """After a change of its files: manifest, decision and metrics fit again. -> its version"""
    before = json.loads((bundle / MANIFEST).read_bytes())
    version = write_manifest(bundle, **{k: v for k, v in before.items() if k not in ("files", "code_sha256")}).version
    change("artifacts/titanic/decision.json", bundle=version)
    change("artifacts/titanic/metrics.json", bundle_version=version)
    return version


def test_what_the_hub_changed_is_not_served(folder: Path, hub: WritableHub, cache: Path) -> None:
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) == 0
    hub.files(NAME)["bundle/model.onnx"] = b"another"
    source = open_source(f"hub://{NAME}", cache)
    with pytest.raises(BundleError, match=r"hub://me/people .*model\.onnx: content differs"):
        found(source).fetch()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hub://me/nothing", "401: no such repository, or a private one; set HF_TOKEN"),
        (f"hub://{NAME}@older", "404: no such repository or revision"),
        ("hub://nowhere", "bundles: found 'hub://nowhere'; expected a folder, .*hub://<owner>/<name>"),
    ],
)
def test_a_wrong_address_is_named(source: str, message: str, folder: Path, hub: WritableHub, cache: Path) -> None:
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) == 0
    with pytest.raises(SourceError, match=message):
        open_source(source, cache).find()


def test_a_private_repository_needs_the_token(
    folder: Path, hub: WritableHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish.main(["project=titanic", f"to=hf://{NAME}", "private=true"]) == 0
    assert found(open_source(f"hub://{NAME}", cache)).fetch()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SourceError, match="401"):
        open_source(f"hub://{NAME}", cache).find()


REFUSED = [
    (
        {"promoted": False, "summary": "titanic: refused because it is slow."},
        {},
        "refused because it is slow. Only promoted",
    ),
    ({"bundle": "0" * 12}, {}, "found no decision on bundle"),
    ({}, {"licence": "not stated"}, "the data: found 'not stated'; expected one that permits publishing"),
    ({}, {"licence": "CC BY-NC-SA 4.0"}, "the data: found 'CC BY-NC-SA 4.0'"),
    ({}, {"licence": "yours"}, "the data is yours; expected licence=..."),
    ({}, {"weights": {"licence": "cc-by-nc-4.0"}}, "the weights: found 'cc-by-nc-4.0'"),
    ({}, {"sha256": "f" * 64}, "found data or metrics of another bundle"),
]


@pytest.mark.parametrize(("decision", "data", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_what_may_not_be_published_is_refused(
    decision: dict[str, Any], data: dict[str, Any], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change("artifacts/titanic/decision.json", **decision)
    change("data/titanic/card.json", **data)
    assert publish.main(["project=titanic", "to=out"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["project=titanc", "to=out"], "did you mean 'titanic'"),
        (["project=titanic", "to=ftp://me/x"], "to: found 'ftp://me/x'; expected hf://owner/name or a folder"),
        (["project=titanic", "to=data"], "to: found data with other files"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_token_that_may_not_write_is_said(
    folder: Path, hub: WritableHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) == 2
    assert "401: the token may not write there; check HF_TOKEN" in capsys.readouterr().err


def test_a_failing_hub_is_said(folder: Path, hub: WritableHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults.append(Reply(418, {"error": "teapot"}))
    assert publish.main(["project=titanic", f"to=hf://{NAME}"]) != 0
    assert f"hf://{NAME}: " in capsys.readouterr().err


def test_what_was_made_of_several_takes_the_stricter_licence() -> None:
    assert licence_of({"the data": "CC BY-SA 3.0", "the weights": "apache-2.0"}) == "cc-by-sa-3.0"
    assert licence_of({"the data": "yours", "the weights": "MIT"}, own="other") == "other"


def test_transformers_loads_a_bundle_with_weights(folder: Path) -> None:
    from transformers import AutoModel, BertConfig, BertModel

    config = BertConfig(vocab_size=31, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained("artifacts/titanic/bundle")
    renewed(Path("artifacts/titanic/bundle"))
    assert publish.main(["project=titanic", "to=out"]) == 0
    assert AutoModel.from_pretrained("out").config.hidden_size == 16
    assert ModelCard.load("out/README.md").data.library_name == "transformers"
