"""Traffic in steps: each is watched before the next, and whatever happens, the old version has it all again."""

import time
from collections.abc import Callable, Sequence

from infra.deploy.target import DeployError, Say

LOOK = 5.0  # seconds between two looks at the alarms


def shift(
    steps: Sequence[float],
    bake: float,
    *,
    to: Callable[[float], None],
    smoke: Callable[[], None],
    alarms: Callable[[], list[str]],
    say: Say,
) -> None:
    """
    Args:
        steps: shares of the requests, between 0 and 1; all of them follows.
        bake: seconds that each step, the last one too, is watched.
        to: gives the new version this share; 0 gives the old one all.
        alarms: the names of those that have gone off.

    Raises:
        DeployError: an alarm, or a smoke test. Traffic is back by then, as it is with any other exception.
    """
    try:
        for share in (*steps, 1.0):
            to(share)
            say(f"the new version has {share:.0%} of the requests")
            watch(bake, alarms)
            smoke()
    except BaseException:
        to(0.0)  # before anything is said: the terminal may be gone
        say("gone back: the old version has all requests")
        raise


def watch(seconds: float, alarms: Callable[[], list[str]], look: float = LOOK) -> None:
    end = time.monotonic() + seconds
    while True:
        if loud := alarms():
            raise DeployError(f"alarm: {', '.join(loud)}")
        if (left := end - time.monotonic()) <= 0:
            return
        time.sleep(min(look, left))
