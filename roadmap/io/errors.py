"""Errors that end a command: one line for the caller, and an exit code."""

import difflib
from collections.abc import Iterable

FAILED, USAGE, TEMPORARY = 1, 2, 75  # it did not work; the caller can mend it; it may pass (EX_TEMPFAIL of sysexits.h)


class CommandError(Exception):
    """What failed, in one line: 'what: found X; expected Y; do Z'."""

    code = FAILED

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(CommandError):
    """Something the caller can put right."""

    code = USAGE


class Unavailable(UsageError):
    """A service did not answer: the same command may succeed later."""

    code = TEMPORARY


def nearest(word: str, known: Iterable[str]) -> str:
    """'did you mean ...' where a name is close, and always the list of names."""
    names = sorted(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.5)
    return (f"did you mean '{lowered[close[0]]}'? " if close else "") + f"allowed: {', '.join(names) or 'none'}"
