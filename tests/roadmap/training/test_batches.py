"""Batches: each row at most once an epoch, an order that depends on seed and epoch, and shares for several
processes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmap.io.errors import UsageError
from roadmap.training.batches import GRAIN, BatchLoader, tensor

ROWS, SIZE = 103, 16


def rows_of(batch: tuple[torch.Tensor, ...]) -> list[int]:
    return batch[0].tolist()


def epoch(
    number: int = 0, *, rows: int = ROWS, size: int = SIZE, seed: int | None = 1, **process: Any
) -> list[list[int]]:
    batches = BatchLoader((torch.arange(rows), -torch.arange(rows)), size, seed=seed, **process)
    batches.set_epoch(number)
    found = list(batches)
    assert len(found) == len(batches)
    assert all(torch.equal(x, -y) for x, y in found), "tensors of a batch must match"
    return [rows_of(batch) for batch in found]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 70), st.one_of(st.none(), st.integers(0, 2**31 - 1)), st.integers(0, 5))
def test_every_row_comes_once_in_nearly_equal_batches(rows: int, size: int, seed: int | None, number: int) -> None:
    batches = epoch(number, rows=rows, size=size, seed=seed)
    seen = [row for batch in batches for row in batch]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(rows))
    assert len(seen) == rows if seed is None else len(seen) > rows - GRAIN
    sizes = [len(batch) for batch in batches]
    assert 1 <= min(sizes) <= max(sizes) < size + GRAIN
    assert max(sizes) - min(sizes) <= GRAIN


def test_processes_get_equal_shares_of_each_batch() -> None:
    for world in (2, 4, 8):
        shares = [[len(batch) for batch in epoch(rank=rank, world=world)] for rank in range(world)]
        assert all(share == shares[0] for share in shares)


def test_the_order_depends_on_seed_and_epoch() -> None:
    orders = {(seed, number): str(epoch(number, seed=seed)) for seed in (1, 50) for number in range(4)}
    assert len(set(orders.values())) == len(orders)
    assert all(order == str(epoch(number, seed=seed)) for (seed, number), order in orders.items())


def test_two_seeds_share_no_order() -> None:
    """Otherwise a second seed would repeat the first one's batches, one epoch later."""
    assert epoch(1, seed=1) != epoch(0, seed=2)


def test_without_a_seed_rows_stay_in_order() -> None:
    assert [row for batch in epoch(3, seed=None) for row in batch] == list(range(ROWS))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("seed", [1, None])
def test_processes_together_see_the_batches_of_one(world: int, seed: int | None) -> None:
    alone = epoch(2, seed=seed)
    shares = [epoch(2, seed=seed, rank=rank, world=world) for rank in range(world)]
    for whole, *parts in zip(alone, *shares, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(whole)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert all(parts), "a process without rows would block the others"


def test_batches_smaller_than_the_world_size_are_rejected() -> None:
    """The mean of a process without rows would be NaN, and reach all weights."""
    with pytest.raises(UsageError, match="batch_size"):
        epoch(rows=10, size=3, rank=3, world=4)


def test_iterating_twice_within_an_epoch_gives_the_same_batches() -> None:
    batches = BatchLoader((torch.arange(ROWS),), SIZE, seed=1)
    assert list(map(rows_of, batches)) == list(map(rows_of, batches))


def test_a_shorter_epoch_samples_from_all_rows() -> None:
    batches = BatchLoader((torch.arange(ROWS),), SIZE, seed=1, rows=40)
    seen = []
    for number in range(40):
        batches.set_epoch(number)
        rows = [row for batch in batches for row in rows_of(batch)]
        assert len(rows) == len(set(rows)) == 40
        seen += rows
    assert set(seen) == set(range(ROWS))


@pytest.mark.parametrize("seed", [1, None])
def test_similar_lengths_share_a_batch_cut_to_the_longest(seed: int | None) -> None:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 60, (2_000,), generator=generator)
    text = torch.where(torch.arange(60) < lengths[:, None], torch.arange(2_000)[:, None] + 1, 0)  # [2000, 60]
    batches = list(BatchLoader((text, lengths, torch.arange(2_000)), SIZE, seed=seed, lengths=lengths))
    seen = [row for *_, rows in batches for row in rows.tolist()]
    assert len(set(seen)) == len(seen) == 2_000
    for x, longest, rows in batches:
        assert x.shape[1] == longest.max() and torch.equal(longest, lengths[rows])
        assert torch.equal(x[:, 0], rows + 1)
    cells = sum(x.numel() for x, *_ in batches)
    assert cells < 1.15 * lengths.sum(), "padding costs more than 15%"
    assert seed is None or [x.shape[1] for x, *_ in batches] != sorted(x.shape[1] for x, *_ in batches)


def test_processes_cut_their_shares_to_the_same_length() -> None:
    lengths = torch.arange(1, 65)
    text = torch.ones(64, 64)
    shares = [list(BatchLoader((text,), 16, seed=1, lengths=lengths, rank=rank, world=2)) for rank in (0, 1)]
    assert [x.shape for (x,) in shares[0]] == [x.shape for (x,) in shares[1]]


def test_sliding_windows_are_read_without_copies() -> None:
    tokens = np.arange(1_000, dtype=np.int32)
    windows = tensor(np.lib.stride_tricks.sliding_window_view(tokens, 9))
    for (x,) in BatchLoader((windows,), 8, seed=1, rows=64):
        assert torch.equal(x - x[:, :1], torch.arange(9, dtype=torch.int32).expand(len(x), 9))
