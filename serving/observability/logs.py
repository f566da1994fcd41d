"""Logs as text or JSON lines, both safe from log injection."""

import functools
import json
import logging
import time
from typing import Any, Literal

from roadmap.io.json import JsonObject

AUDIT = "serving.audit"  # logger of one line per request
ENCODE = json.JSONEncoder(default=str).encode  # json.dumps would create one per line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """A line of JSON, in ASCII."""
        fields_: dict[str, Any] = {"time": moment(record.created), "level": record.levelname, "logger": record.name}
        fields_["message"] = record.getMessage()
        fields_.update(getattr(record, "fields", {}))
        if record.exc_info:
            fields_["exception"] = self.formatException(record.exc_info)
        return ENCODE(fields_)  # pure ASCII: no line breaks or escape sequences


class TextFormatter(logging.Formatter):
    """Human-readable lines. Continuation lines, such as a stack trace, are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """A line, and indented ones."""
        fields = "".join(f" {name}={shown(value)}" for name, value in getattr(record, "fields", {}).items())
        message = printable(record.getMessage(), keep="\n")
        if record.exc_info:
            message += "\n" + printable(self.formatException(record.exc_info), keep="\n")
        return f"{moment(record.created)} {record.levelname} {message}{fields}".replace("\n", "\n    ")


def config(style: Literal["text", "json"]) -> JsonObject:
    """For logging.config.dictConfig and uvicorn's `log_config`: all logs in one style, to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": JsonFormatter if style == "json" else TextFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {"serving": {"level": "INFO"}, "uvicorn": {"level": "INFO"}},
    }


def moment(created: float) -> str:
    """ISO 8601, UTC, milliseconds. created: seconds since 1970"""
    return f"{second(int(created))}.{int(created % 1 * 1000):03d}Z"


@functools.lru_cache(4)
def second(created: int) -> str:
    """ISO 8601, UTC, without a zone. created: seconds since 1970"""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))


def shown(value: object) -> str:
    """logfmt: values with spaces, quotes or equals signs are quoted."""
    if not isinstance(value, str):
        return str(value)
    text = printable(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(sign in text for sign in ' "=') else text


def printable(text: str, keep: str = "") -> str:
    """Escapes line breaks and terminal control characters."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )
