"""The traffic split: which callers a challenger answers. The deploy command computes it too, to be one of them."""

import hashlib


def drawn(project: str, version: str, caller: str) -> float:
    """In [0, 1): a caller below the challenger's share gets its answers.

    Always the same for a caller while this version is the challenger; the next version draws anew.
    """
    digest = hashlib.blake2b(f"{project}\0{version}\0{caller}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
