"""/status and its reports: what the stages recorded, one row per project, and never an error."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.auth import __main__ as auth
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

PROJECTS = sorted(bundles.MAKERS)


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return bundles.make_all(tmp_path / "artifacts")


@pytest.fixture
def get(artifacts: Path) -> Callable[..., Any]:
    """GET from a server with these bundles."""
    clients: list[TestClient] = []

    def get(path: str, headers: dict[str, str] | None = None, **settings: Any) -> Any:
        if settings or not clients:
            given = {"bundles": str(artifacts), "poll_seconds": 0, **settings}
            clients.append(TestClient(create_app(Settings(**given)), raise_server_exceptions=False))
        return clients[-1].get(path, headers=headers)

    return get


def put(artifacts: Path, name: str, content: Any, project: str = "titanic") -> None:
    path = artifacts / project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content) + "\n")


def before(**much: float) -> str:
    return (datetime.now(UTC) - timedelta(**much)).isoformat(timespec="seconds")


def row(answer: Any, project: str = "titanic") -> dict[str, Any]:
    (found,) = [one for one in answer.json()["projects"] if one["project"] == project]
    return found


def test_without_records_the_status_is_empty(get: Any, tmp_path: Path) -> None:
    for settings in ({}, {"records": tmp_path / "nowhere"}):
        answer = get("/status?format=json", **settings)
        assert answer.status_code == 200
        assert [one["project"] for one in answer.json()["projects"]] == PROJECTS
        for one in answer.json()["projects"]:
            assert one["health"] == "ready" and one["champion"]
            assert not any(one[name] for name in ("drift", "gate", "deploy", "score", "comparison", "challenger"))
    page = get("/status")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.count("none yet") == 4 * len(PROJECTS)


def test_remote_bundles_have_records_only_with_a_folder(artifacts: Path) -> None:
    from serving.http.pages.status import folder_of

    assert folder_of(Settings(bundles="s3://bucket/models,models:/@champion")) is None
    assert folder_of(Settings(bundles="models:/@champion,somewhere")) == Path("somewhere")
    assert folder_of(Settings(bundles="s3://bucket/models", records=artifacts)) == artifacts


def test_a_row_shows_the_latest_records(get: Any, artifacts: Path) -> None:
    version = json.loads(get("/models/titanic").text)["version"]
    put(artifacts, "monitoring/verdict.json",
        {"at": before(hours=3), "verdict": "drift", "summary": "titanic: drift, since class differs."})  # fmt: skip
    put(artifacts, "monitoring/report.html", "<h1>drift</h1>")
    old = {"at": before(days=9), "event": "promoted", "summary": "titanic: promoted, since it is good."}
    put(artifacts, "promotions.jsonl", "\n".join(map(json.dumps, [old, {**old, "at": before(days=2), "event": "refused",
        "summary": "titanic: refused, since it is worse."}])) + "\n")  # fmt: skip
    put(artifacts, "deployments.jsonl", {"target": "compose", "stage": "staging", "from": "a", "to": "b",
        "result": "deployed", "reason": None, "by": "ci", "ended": before(minutes=5)})  # fmt: skip
    put(artifacts, "metrics.json", {"headline": {"name": "accuracy", "value": 0.8127}, "bundle_version": version})
    put(artifacts, "monitoring/ab.json", {"at": before(days=1), "summary": "titanic: undecided", "score": None})
    found = row(get("/status?format=json"))
    assert found["drift"] | {"at": None} == {"said": "drift", "at": None, "detail": "drift, since class differs.",
        "link": "status/titanic/drift", "bad": True}  # fmt: skip
    assert (found["gate"]["said"], found["gate"]["detail"]) == ("refused", "refused, since it is worse.")
    assert found["deploy"]["said"] == "deployed (compose staging)" and not found["deploy"]["bad"]
    assert found["deploy"]["detail"] == "a to b; ci"
    assert (found["champion"], found["score"], found["data"]) == (version, "accuracy 0.8127", "1" * 64)
    assert found["comparison"]["said"] == "no labels yet" and found["comparison"]["link"] is None
    page = get("/status").text
    for words in (
        "3 hours ago",
        "2 days ago",
        "5 minutes ago",
        "accuracy 0.8127",
        version,
        'href="status/titanic/drift"',
    ):
        assert words in page


def test_the_score_of_another_version_is_not_shown(get: Any, artifacts: Path) -> None:
    put(artifacts, "metrics.json", {"headline": {"name": "accuracy", "value": 0.9}, "bundle_version": "another"})
    assert row(get("/status?format=json"))["score"] is None


def test_without_a_log_the_last_decision_and_rollbacks_are_shown(get: Any, artifacts: Path) -> None:
    put(artifacts, "decision.json", {"promoted": False, "summary": "titanic: refused, since it is slow."})
    assert row(get("/status?format=json"))["gate"]["said"] == "refused"
    put(artifacts, "promotions.jsonl", {"at": before(days=1), "event": "rollback", "champion": "3", "replaced": "4"})
    gate = row(get("/status?format=json"))["gate"]
    assert (gate["said"], gate["detail"], gate["bad"]) == ("rollback", "version 3 of the registry", False)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"at": 3}', "\x00" * 10])
def test_an_unreadable_record_is_shown_as_such(get: Any, artifacts: Path, content: str) -> None:
    names = ("monitoring/verdict.json", "promotions.jsonl", "deployments.jsonl", "monitoring/ab.json", "metrics.json")
    for name in names:
        put(artifacts, name, content)
    answer = get("/status?format=json")
    assert answer.status_code == get("/status").status_code == 200
    found = row(answer)
    assert {found[name]["said"] for name in ("drift", "gate", "deploy", "comparison")} == {"cannot be read"}
    assert row(answer, "mnist")["drift"] is None


def test_the_accept_header_chooses_page_or_json(get: Any) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for accept, kind in [(browser, "text/html"), ("*/*", "text/html"), ("application/json", "application/json")]:
        assert get("/status", {"Accept": accept}).headers["content-type"].startswith(kind)
    assert get("/status?format=html", {"Accept": "application/json"}).headers["content-type"].startswith("text/html")
    assert get("/status?format=xml").status_code == 422


def test_records_are_escaped(get: Any, artifacts: Path) -> None:
    evil = "<script>alert(1)</script>"
    put(artifacts, "monitoring/verdict.json", {"at": evil, "verdict": evil, "summary": evil})
    put(artifacts, "monitoring/report.html", evil)
    page = get("/status")
    assert "<script" not in page.text and "&lt;script&gt;" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]


# ---------------------------------------------------------------- the pages behind it


@pytest.mark.parametrize(
    ("path", "file", "command"),
    [
        ("/status/titanic/drift", "monitoring/report.html", "pipelines.monitor project=titanic"),
        ("/compare/titanic", "monitoring/ab.html", "pipelines.ab project=titanic"),
    ],
)
def test_a_report_is_served_in_a_sandbox(get: Any, artifacts: Path, path: str, file: str, command: str) -> None:
    missing = get(path)
    assert missing.status_code == 404 and command in missing.json()["detail"]
    put(artifacts, file, "<h1>so it is</h1>")
    answer = get(path)
    assert answer.text == "<h1>so it is</h1>"
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert "connect-src" not in answer.headers["content-security-policy"]  # default-src is 'none'
    for other in ("nobody", "..%2ftitanic", "..%2f..%2fetc", "titanic%2f.."):
        assert get(path.replace("titanic", other)).status_code == 404


def test_the_comparison_is_available_as_json(get: Any, artifacts: Path) -> None:
    put(artifacts, "monitoring/ab.json", {"summary": "so"})
    for headers, query in [({}, "?format=json"), ({"Accept": "application/json"}, "")]:
        assert get(f"/compare/titanic{query}", headers).json() == {"summary": "so"}


def test_reports_need_the_key_of_their_project(
    get: Any, artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(artifacts, "monitoring/ab.html", "<h1>so</h1>")
    put(artifacts, "monitoring/ab.html", "<h1>so</h1>", "mnist")
    file = tmp_path / "keys.json"
    auth.main(["new", "--name", "ci", "--projects", "mnist", "--file", str(file)])
    key = {"X-API-Key": capsys.readouterr().out.strip()}
    assert get("/status", api_keys=file).status_code == get("/models").status_code == 401
    assert get("/compare/mnist").status_code == get("/status/mnist/drift").status_code == 401
    assert get("/status", key).status_code == get("/compare/mnist", key).status_code == 200
    assert get("/compare/titanic", key).status_code == get("/status/titanic/drift", key).status_code == 403


def test_the_page_shows_a_challenger(get: Any, artifacts: Path) -> None:
    version = bundles.titanic(artifacts / "titanic" / "challenger", opposite=True).version
    answer = get("/status?format=json", challengers=str(artifacts), shadow=0.25)
    assert row(answer)["challenger"]["version"] == version and row(answer, "mnist")["challenger"] is None
    assert (answer.json()["shadow"], answer.json()["split"]) == (0.25, 0)
    page = get("/status").text
    assert "25% of requests are shadowed" in page and f"challenger {version}" in page
