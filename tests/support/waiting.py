"""Waiting for another thread or process by polling, never by fixed times."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], seconds: float = 60.0) -> Found:
    """The value of `condition` once it is true; the limit is generous, since machines may be busy.

    Raises: AssertionError after so many seconds.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not true within {seconds:.0f} s"
        time.sleep(0.01)
    return found
