"""Alerts: always to the log, to the webhook in ALERT_WEBHOOK, by mail to ALERT_EMAIL.

ALERT_FORMAT is the webhook's format: json (raw), slack, dingtalk or feishu. Mail is sent through ALERT_SMTP, host:port
or smtp://user:password@host:port. Failures to send are logged and fail no task.
"""

import json
import logging
import os
import smtplib
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from airflow.sdk import Context

Message = Mapping[str, object]  # `text`, and further fields

log = logging.getLogger("airflow.task")

FORMATS = {
    "json": lambda message: message,
    "slack": lambda message: {"text": message["text"]},
    "dingtalk": lambda message: {"msgtype": "text", "text": {"content": message["text"]}},
    "feishu": lambda message: {"msg_type": "text", "content": {"text": message["text"]}},
}


def tell(text: str, **about: object) -> None:
    """Sends an alert: drift, a decision of the gate, a deployment."""
    message: Message = {"text": text, **about}
    log.info("news: %s", json.dumps(message, ensure_ascii=False))
    send(message)


def failed(context: "Context") -> None:
    """An Airflow callback for `on_failure_callback`, after the last retry."""
    ti = context["ti"]
    message = {
        "text": f"{ti.dag_id}: {ti.task_id} failed: {context.get('exception')}",
        "dag": ti.dag_id,
        "task": ti.task_id,
        "run": ti.run_id,
        "try": ti.try_number,
        "log": ti.log_url,
    }
    log.error("alert: %s", json.dumps(message))
    send(message)


def send(message: Message) -> None:
    """Sends it wherever the environment says; never raises."""
    for name, way in (("ALERT_WEBHOOK", webhook), ("ALERT_EMAIL", mail)):
        if to := os.environ.get(name):
            try:
                way(to, message)
            except Exception as error:  # bad address, unreachable, or not HTTP
                log.error("alert: cannot send to %s: %s", name, error)


def webhook(url: str, message: Message) -> None:
    """
    Raises:
        ValueError: ALERT_FORMAT is unknown.
        OSError: the webhook is unreachable or refuses.
    """
    name = os.environ.get("ALERT_FORMAT", "json")
    if name not in FORMATS:
        raise ValueError(f"ALERT_FORMAT: found {name!r}; allowed: {', '.join(FORMATS)}")
    body = json.dumps(FORMATS[name](message)).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def mail(to: str, message: Message) -> None:
    """
    Raises:
        OSError: the mail server is unreachable or refuses.
    """
    letter = EmailMessage()
    letter["To"], letter["From"] = to, os.environ.get("ALERT_FROM", "roadmap@localhost")
    letter["Subject"] = " ".join(str(message["text"]).split())[:120]
    letter.set_content("\n".join(f"{name}: {value}" for name, value in message.items()))
    place = os.environ.get("ALERT_SMTP", "localhost:25")
    server = urlsplit(place if "://" in place else f"smtp://{place}")
    with smtplib.SMTP(server.hostname or "localhost", server.port or 25, timeout=10) as smtp:
        if server.username:
            smtp.starttls()
            smtp.login(unquote(server.username), unquote(server.password or ""))
        smtp.send_message(letter)
