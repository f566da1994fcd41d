"""Alerts: recipients and formats."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from dvc_airflow import alerts
from dvc_airflow.process import Failed

from tests.support.airflow_runs import Listener, listening

CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture
def answering() -> Iterator[Callable[[int], Listener]]:
    with contextlib.ExitStack() as stack:
        yield lambda status: stack.enter_context(listening(status))


CONTEXT = {
    "ti": SimpleNamespace(dag_id="mnist", task_id="train", run_id="manual", try_number=2, log_url="http://airflow/log"),
    "exception": Failed("params.yaml: lr: must be a number", retry=False),
}


def test_failures_are_sent_to_the_webhook(
    answering: Callable[[int], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = answering(200)
    monkeypatch.setenv("ALERT_WEBHOOK", server.url)
    alerts.failed(CONTEXT)
    ((kind, body),) = server.received
    assert kind == "application/json"
    assert json.loads(body) == {
        "text": "mnist: train failed: params.yaml: lr: must be a number",
        "dag": "mnist", "task": "train", "run": "manual", "try": 2, "log": "http://airflow/log",
    }  # fmt: skip


@pytest.mark.parametrize("webhook", [CLOSED, "500", "no address", "http://", ""])
def test_an_undelivered_alert_fails_nothing(
    answering: Callable[[int], Listener],
    monkeypatch: pytest.MonkeyPatch,
    webhook: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", answering(500).url if webhook == "500" else webhook)
    alerts.failed(CONTEXT)
    assert "mnist: train failed" in caplog.text, "it is logged in any case"


def test_alerts_have_the_format_of_their_receiver(
    answering: Callable[[int], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = answering(200)
    monkeypatch.setenv("ALERT_WEBHOOK", server.url)
    for name in alerts.FORMATS:
        monkeypatch.setenv("ALERT_FORMAT", name)
        alerts.tell("titanic: drift", project="titanic")
    assert [json.loads(body) for _, body in server.received] == [
        {"text": "titanic: drift", "project": "titanic"},
        {"text": "titanic: drift"},
        {"msgtype": "text", "text": {"content": "titanic: drift"}},
        {"msg_type": "text", "content": {"text": "titanic: drift"}},
    ]


def test_an_unknown_format_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", CLOSED)
    monkeypatch.setenv("ALERT_FORMAT", "teams")
    alerts.tell("titanic: drift")
    assert "ALERT_FORMAT: found 'teams'; allowed: json, slack, dingtalk, feishu" in caplog.text


def test_alerts_are_sent_by_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    with socketserver.TCPServer(("127.0.0.1", 0), mailbox(lines)) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("ALERT_EMAIL", "team@example.org")
        monkeypatch.setenv("ALERT_SMTP", f"127.0.0.1:{server.server_address[1]}")
        alerts.tell("titanic: drift", project="titanic")
    letter = "\n".join(lines)
    assert "RCPT TO:<team@example.org>" in letter.replace("rcpt", "RCPT")
    assert "Subject: titanic: drift" in letter and "project: titanic" in letter


def mailbox(lines: list[str]) -> type[socketserver.StreamRequestHandler]:
    """A minimal mail server for one message (RFC 5321)."""

    class Mailbox(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            body = False
            for line in map(bytes.decode, self.rfile):
                lines.append(line.rstrip())
                if body and line != ".\r\n":
                    continue
                body = line.upper().startswith("DATA")
                self.wfile.write(b"354 go on\r\n" if body else b"250 fine\r\n")
                if line.upper().startswith("QUIT"):
                    return

    return Mailbox
