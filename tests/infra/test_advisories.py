"""The audit against a server that implements OSV's protocol: advisories, and their acceptance."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra import advisories, images
from tests.standins import protocol_server
from tests.standins.protocol_server import Reply, Request

TODAY = date(2026, 7, 1)
OLD = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-1234"],
    "summary": "it does what it should not",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Reply]]:
    """https://google.github.io/osv.dev/post-v1-query/: leaky 1.0 has an advisory. The list is answered first."""

    def query(request: Request) -> Reply:
        queried = request.json()
        assert queried["package"]["ecosystem"] == "PyPI"
        hit = (queried["package"]["name"], queried["version"]) == ("leaky", "1.0")
        return Reply(200, {"vulns": [OLD]} if hit else {})

    faults: list[Reply] = []
    with protocol_server.running([("POST", "/v1/query", query)], faults) as address:
        monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"{address}/v1/query")
        monkeypatch.setenv("PIP_AUDIT_CACHE_DIR", str(tmp_path / "cache"))
        yield faults


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "a.lock"
    file.write_text("leaky==1.0\nsound==2.0\n")
    return file


def decision(**changes: Any) -> advisories.Accepted:
    given = {"id": OLD["id"], "package": "leaky", "why": "never called", "until": date(2026, 12, 31), **changes}
    return advisories.Accepted(**given)


def run_audit(lock: Path, *decisions: advisories.Accepted, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    stops = advisories.report([lock], list(decisions), TODAY)
    return stops, capsys.readouterr().out


def test_an_advisory_is_named_with_its_fix(osv: Any, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stops, out = run_audit(lock, capsys=capsys)
    assert stops == 1 and out == f"{lock}: leaky 1.0: CVE-2026-1234, fixed in 1.1\n"


def test_a_lock_without_advisories(osv: Any, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock.write_text("sound==2.0\n")
    assert run_audit(lock, capsys=capsys) == (0, "")


@pytest.mark.parametrize("name", [OLD["id"], "CVE-2026-1234"], ids=["its id", "an alias"])
def test_accepted_advisories_are_reported_and_do_not_fail(
    osv: Any, lock: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    stops, out = run_audit(lock, decision(id=name), capsys=capsys)
    assert stops == 0 and "CVE-2026-1234, accepted until 2026-12-31: never called" in out


def test_acceptance_applies_to_one_package(osv: Any, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stops, out = run_audit(lock, decision(package="sound"), capsys=capsys)
    assert stops == 1 and "is no longer found; remove it" in out


@pytest.mark.parametrize(("until", "stops"), [(TODAY, 0), (date(2026, 6, 30), 1)], ids=["the last day", "after it"])
def test_acceptance_expires(osv: Any, lock: Path, capsys: pytest.CaptureFixture[str], until: date, stops: int) -> None:
    found, out = run_audit(lock, decision(until=until), capsys=capsys)
    assert found == stops and ("was accepted until 2026-06-30; review it" in out) == bool(stops)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[accepted]]\nid = "X-1"\npackage = "leaky"\nuntil = 2026-12-31\n', "why: Field required"),
        ('[[accepted]]\nid = "X-1"\npackage = "leaky"\nwhy = ""\nuntil = 2026-12-31\n', "why: String should have"),
        (
            '[[accepted]]\nid = "X-1"\npackage = "leaky"\nwhy = "x"\nuntil = "soon"\n',
            "until: Input should be a valid date",
        ),
        ("[[accepted]\n", "not TOML"),
    ],
    ids=["no reason", "an empty reason", "no date", "no TOML"],
)
def test_an_incomplete_acceptance_is_rejected(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "advisories.toml"
    file.write_text(text)
    with pytest.raises(advisories.AuditError, match=words):
        advisories.accepted(file)


def test_the_projects_own_list_is_valid() -> None:
    assert isinstance(advisories.accepted(), list)


def test_the_command_fails_without_a_response(
    osv: list[Reply], lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "LOCKS", (lock,))
    assert images.main(["audit"]) == 1
    assert "1 known vulnerabilities that infra/advisories.toml does not accept" in capsys.readouterr().out
    osv.append(Reply(500, {}))
    assert images.main(["audit"]) == 2
    assert "not audited" in capsys.readouterr().err
    lock.write_text("sound==2.0\n")
    assert images.main(["audit"]) == 0
