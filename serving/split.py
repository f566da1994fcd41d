"""The traffic split: which callers are routed to a challenger. The deploy command computes it too, for its probes."""

import hashlib


def bucket(project: str, version: str, caller: str) -> float:
    """The bucket of a caller in [0, 1): below the challenger's share it is routed there.

    Stable for a caller and a version of the challenger; the next version reshuffles callers.
    """
    digest = hashlib.blake2b(f"{project}\0{version}\0{caller}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
