"""Errors that end a command: one line for the caller, and an exit code."""

import difflib
from collections.abc import Iterable

FAILED, USAGE, TEMPORARY = 1, 2, 75  # failure; usage error; transient failure (EX_TEMPFAIL of sysexits.h)


class CommandError(Exception):
    """Ends a command with one line: 'what failed: found X; expected Y; do Z'."""

    code = FAILED

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(CommandError):
    """The caller can fix it."""

    code = USAGE


class Unavailable(UsageError):
    """A transient failure: the same command may succeed later."""

    code = TEMPORARY


def of_file(error: OSError) -> str:
    """A file or folder that can't be read or written, in one line."""
    reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or type(error).__name__
    return f"{error.filename}: {reason[:1].lower()}{reason[1:]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """'did you mean ...' if a name is close, and the list of names."""
    names = sorted(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.5)
    return (f"did you mean '{lowered[close[0]]}'? " if close else "") + f"allowed: {', '.join(names) or 'none'}"
