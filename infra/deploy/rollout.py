"""Step-wise rollout: each step is observed before the next, and any failure routes all traffic back."""

import time
from collections.abc import Callable, Sequence

from infra.deploy.target import DeployError, Say

POLL_SECONDS = 5.0  # seconds between checks of the alarms


def shift_traffic(
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
        steps: traffic shares between 0 and 1, followed by 1.
        bake: seconds of observation of each step, the last one included.
        to: sets the new version's share; 0 routes all to the old one.
        alarms: returns the names of firing alarms.

    Raises:
        DeployError: an alarm fired or a smoke test failed. Traffic is back by then, as after any other exception.
    """
    try:
        for share in (*steps, 1.0):
            to(share)
            say(f"the new version has {share:.0%} of the requests")
            bake_step(bake, alarms)
            smoke()
    except BaseException:
        to(0.0)  # before printing: the terminal may be closed
        say("rolled back: the old version has all requests")
        raise


def bake_step(seconds: float, alarms: Callable[[], list[str]], poll: float = POLL_SECONDS) -> None:
    """Watches the alarms for so many seconds.

    Raises:
        DeployError: one fired.
    """
    end = time.monotonic() + seconds
    while True:
        if firing := alarms():
            raise DeployError(f"alarm: {', '.join(firing)}")
        if (remaining := end - time.monotonic()) <= 0:
            return
        time.sleep(min(poll, remaining))
