"""Waiting for what another thread or process does: by looking, never by guessing how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], seconds: float = 60.0) -> Found:
    """What `condition` says once it is true; a generous limit, since machines may be busy.

    Raises: AssertionError after so many seconds.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not true within {seconds:.0f} s"
        time.sleep(0.01)
    return found
