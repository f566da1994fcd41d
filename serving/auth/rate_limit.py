"""Rate limit: a token bucket per caller, in bounded memory.

The library `limits` counts in windows, starts a thread to expire them and has unbounded memory.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

WINDOW = 60.0  # seconds
MOST = 50_000  # most callers in memory


class RateLimitResult(NamedTuple):
    allowed: bool
    headers: list[tuple[bytes, bytes]]


class RateLimit:
    """Bursts of `per_minute` requests, refilled at the same rate per minute.

    A bucket is stored as the time at which it will be full again (GCRA). The least recently seen caller is evicted
    first. Each worker process counts separately.
    """

    def __init__(self, per_minute: int, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.most, self.clock = per_minute, most, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._policy = (b"ratelimit-policy", f'"default";q={per_minute};w={WINDOW:.0f}'.encode())

    def take(self, caller: str) -> RateLimitResult:
        """Counts one request of this caller. Headers are the IETF draft RateLimit; Retry-After is in seconds."""
        now, each = self.clock(), WINDOW / self.per_minute
        full_at = max(now, self._full_at.get(caller, now))
        allowed = full_at + each - now <= WINDOW + 1e-6
        if allowed:
            full_at += each
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self.most:
            self._full_at.popitem(last=False)
        left = max(0, int((WINDOW - (full_at - now)) / each + 1e-6))
        next_in = max(1, math.ceil(full_at + each - now - WINDOW)) if left == 0 else math.ceil(full_at - now)
        headers = [self._policy, (b"ratelimit", f'"default";r={left};t={next_in}'.encode())]
        if not allowed:
            headers.append((b"retry-after", str(next_in).encode()))
        return RateLimitResult(allowed, headers)

    def __len__(self) -> int:
        return len(self._full_at)


def network(address: str) -> str:
    """The address; for IPv6 its /64, the smallest assignment to a customer."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
