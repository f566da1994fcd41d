"""Logs as text or as JSON lines, both such that nothing a caller sends can forge a line."""

import json
import logging
import sys
import time
from typing import Any, Literal, TextIO

AUDIT = "serving.audit"  # the logger that says one line per request


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {"time": moment(record.created), "level": record.levelname, "logger": record.name}
        said["message"] = record.getMessage()
        said.update(getattr(record, "fields", {}))
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)  # pure ASCII: no newline, no escape sequence, no separator of lines


class Text(logging.Formatter):
    """One line for people. What continues it, as a stack trace does, is set in, and so is no line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={shown(value)}" for name, value in getattr(record, "fields", {}).items())
        message = printable(record.getMessage(), keep="\n")
        if record.exc_info:
            message += "\n" + printable(self.formatException(record.exc_info), keep="\n")
        return f"{moment(record.created)} {record.levelname} {message}{fields}".replace("\n", "\n    ")


def configure(style: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """All logs go to `stream` (standard error) in this style, those of uvicorn too (run it with `log_config=None`)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").disabled = True  # the audit line says it all
    # What logging would look up for every record and no format here shows.
    logging.logProcesses = logging.logThreads = logging.logMultiprocessing = logging.logAsyncioTasks = False


def moment(created: float) -> str:
    """ISO 8601, UTC, milliseconds."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created))}.{int(created % 1 * 1000):03d}Z"


def shown(value: Any) -> str:
    """logfmt: quoted where a space, a quote or an equals sign would make one field look like two."""
    if not isinstance(value, str):
        return str(value)
    text = printable(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(sign in text for sign in ' "=') else text


def printable(text: str, keep: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )
