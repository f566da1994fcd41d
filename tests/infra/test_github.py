"""infra.github against a server with GitHub's REST API: one updated comment, releases, dispatches."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import github
from tests.standins.github_server import NAME, GitHub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GitHub]:
    for name in ("GITHUB_EVENT_PATH", "GITHUB_REF_NAME", "GITHUB_RUN_ID", "GITHUB_SHA", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(github, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.chdir(tmp_path)
    with GitHub() as started:
        for name, value in started.env().items():
            monkeypatch.setenv(name, value)
        yield started


def write(text: str) -> str:
    Path("comparison.md").write_text(text)
    return "comparison.md"


def test_a_comment_is_created_once_and_then_updated(hub: GitHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.comments = [{"id": 900 + i, "issue": 7, "body": "chatter"} for i in range(150)]  # more than a page
    for text in ("accuracy 0.91", "accuracy 0.95"):
        assert github.main(["comment", f"file={write(text)}", "topic=mnist", "pr=7", "link=https://a/page"]) == 0
    ours = [one for one in hub.comments if "accuracy" in one["body"]]
    assert len(ours) == 1 and "accuracy 0.95" in ours[0]["body"] and "(https://a/page)" in ours[0]["body"]
    assert capsys.readouterr().out.split(":")[0] == "created"
    assert github.main(["comment", f"file={write('r2 0.8')}", "topic=house_prices", "pr=7"]) == 0
    assert len(hub.comments) == 152, "another topic has another comment"


def test_quoted_comments_are_not_overwritten(hub: GitHub) -> None:
    hub.comments = [{"id": 1, "issue": 7, "body": "> <!-- roadmap: mnist -->\n> accuracy\n\nnice"}]
    github.main(["comment", f"file={write('new')}", "topic=mnist", "pr=7"])
    assert hub.comments[0]["body"].endswith("nice") and len(hub.comments) == 2


def test_the_pull_request_comes_from_the_event_or_the_branch(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.pulls = [{"number": 12, "head": "octo:wider/net"}]
    monkeypatch.setenv("GITHUB_REF_NAME", "wider/net")
    monkeypatch.setenv("GITHUB_RUN_ID", "55")
    github.main(["comment", f"file={write('x')}", "topic=mnist"])
    assert hub.comments[0]["issue"] == 12 and f"/{NAME}/actions/runs/55" in hub.comments[0]["body"]
    Path("event.json").write_text(json.dumps({"pull_request": {"number": 3}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", "event.json")
    github.main(["comment", f"file={write('x')}", "topic=mnist"])
    assert hub.comments[1]["issue"] == 3


def test_a_branch_without_a_pull_request_is_no_failure(
    hub: GitHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    assert github.main(["comment", f"file={write('x')}", "topic=mnist"]) == 0
    assert "no open pull request" in capsys.readouterr().out and not hub.comments


def test_a_bad_gateway_is_retried_and_then_temporary(hub: GitHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.fail = 2
    assert github.main(["comment", f"file={write('x')}", "topic=mnist", "pr=7"]) == 0
    hub.fail = 99
    assert github.main(["comment", f"file={write('x')}", "topic=mnist", "pr=7"]) == 75
    assert "502" in capsys.readouterr().err and len(hub.comments) == 1


@pytest.mark.parametrize(
    ("env", "arguments", "words"),
    [
        ({"GITHUB_TOKEN": "expired"}, ["comment", "file=f.md", "topic=a", "pr=7"], "401"),
        ({"GITHUB_TOKEN": ""}, ["comment", "file=f.md", "topic=a", "pr=7"], "GITHUB_TOKEN: not set"),
        ({}, ["comment", "file=f.md", "topic=a"], "pr: missing"),
        ({}, ["comment", "file=gone.md", "topic=a", "pr=7"], "gone.md"),
        ({}, ["comment", "topic=a"], "file: missing"),
        ({}, ["dispatch", "project=mnist"], "event: missing"),
    ],
)  # fmt: skip
def test_an_invalid_command_line_is_one_line(
    hub: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    env: dict[str, str],
    arguments: list[str],
    words: str,
) -> None:
    Path("f.md").write_text("x")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert github.main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and words in message and len(message.splitlines()) == 1
    assert not hub.comments and not hub.dispatched


def test_a_comment_that_is_too_long_is_rejected(hub: GitHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert github.main(["comment", f"file={write('x' * 70_000)}", "topic=mnist", "pr=7"]) == 2
    assert "expected at most 65536" in capsys.readouterr().err and not hub.comments


def test_drift_dispatches_the_retraining_workflow(hub: GitHub) -> None:
    assert github.main(["dispatch", "event=drift", "project=mnist"]) == 0
    assert hub.dispatched == [{"event_type": "drift", "client_payload": {"project": "mnist"}}]


CHANGELOG = (
    "# Changelog\n\n## Unreleased\n\n- later\n\n## 0.2.0 - 2026-11-20\n\n### Added\n- doors\n\n## 0.1.0\n\n- spine\n"
)


def released(version: str = "0.2.0") -> None:
    Path("CHANGELOG.md").write_text(CHANGELOG)
    Path("pyproject.toml").write_text(f'[project]\nname = "roadmap"\nversion = "{version}"\n')
    Path("serving.json").write_text("{}")


def test_a_release_has_notes_and_files_and_is_idempotent(hub: GitHub) -> None:
    released()
    assert github.main(["release", "tag=v0.2.0", "file=serving.json"]) == 0
    Path("serving.json").write_text('{"again": true}')
    assert github.main(["release", "tag=v0.2.0", "file=serving.json"]) == 0
    (release,) = hub.releases
    assert release["body"] == "### Added\n- doors" and release["prerelease"] is False
    assert [(one["name"], one["content"]) for one in release["assets"]] == [("serving.json", '{"again": true}')]


@pytest.mark.parametrize(
    ("version", "arguments", "words"),
    [
        ("0.2.0", ["tag=v0.3.0"], "expected v0.2.0"),
        ("0.3.0", ["tag=v0.3.0"], "no section '## 0.3.0'"),
        ("0.2.0", ["tag=v0.2.0", "file=gone.json"], "gone.json: missing"),
    ],
)
def test_an_incomplete_release_publishes_nothing(
    hub: GitHub, capsys: pytest.CaptureFixture[str], version: str, arguments: list[str], words: str
) -> None:
    released(version)
    assert github.main(["release", *arguments]) == 2
    assert words in capsys.readouterr().err and not hub.releases
