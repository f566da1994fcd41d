"""Errors that a caller can mend: one line each, and an exit code."""

import difflib


class UsageError(Exception):
    """Something the caller can put right: shown as one line, exit code 2."""


class Unavailable(UsageError):
    """A service did not answer: the same command may succeed later. Exit code 75, EX_TEMPFAIL of sysexits.h."""


def nearest(word: str, known: list[str]) -> str:
    """'did you mean ...' where a name is close, and always the list of names."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (f"did you mean '{close[0]}'? " if close else "") + f"allowed: {', '.join(sorted(known))}"
