"""Decisions at collection: which tests are slow, and which of them this machine runs."""

import os
import zlib

import pytest


def refuse_unmarked(items: list[pytest.Item]) -> None:
    """Keeps `-m "not slow"` quick: costly tests must be marked.

    Raises: pytest.UsageError, when a test needs the reproduced checkout or the official data and isn't marked slow.
    """
    escaped = []
    for item in items:
        costly = "reproduced" in getattr(item, "fixturenames", ()) or item.get_closest_marker("mirror")
        if costly and not item.get_closest_marker("slow"):
            escaped.append(f"{item.nodeid}: takes minutes and is not marked; add @pytest.mark.slow")
    if escaped:
        raise pytest.UsageError("\n".join(escaped))


def take_shard(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TEST_SHARD=2/3: the second third of the files, so that several machines share the suite."""
    number, _, total = os.environ.get("TEST_SHARD", "1/1").partition("/")
    mine = {
        item
        for item in items
        if zlib.crc32(str(item.path.relative_to(config.rootpath)).encode()) % int(total) == int(number) - 1
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = [item for item in items if item in mine]
