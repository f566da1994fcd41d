"""What each part of an input contributes to a value: Shapley values (1953), as Strumbelj and Kononenko (2010) sample
them.

A part's contribution is what it adds to the parts before it, averaged over random orders. In each order the steps from
nothing to the whole input add up to the difference between the two, so the averages do as well: exactly, however few
orders are drawn. More orders only make the single values more accurate. Orders come in pairs, one the reverse of the
other (antithetic sampling: Mitchell et al., "Sampling Permutations for Shapley Value Estimation", 2022, section 4).
"""

from collections.abc import Callable

import numpy as np

PAIRS = 1
SEED = 0


def contributions(
    value: Callable[[np.ndarray], np.ndarray], players: int, pairs: int = PAIRS
) -> tuple[np.ndarray, float, float]:
    """
    Args:
        value: bool [n, players], which parts are there -> [n]
        players: number of parts.
        pairs: of orders.

    -> contributions [players], the value of nothing, the value of all
    """
    rng = np.random.default_rng(SEED)
    orders = np.stack([rng.permutation(players) for _ in range(pairs)])
    orders = np.concatenate([orders, orders[:, ::-1]])
    if players < 2:
        orders = orders[:1]
    # [orders, players - 1, players]: the first 1, 2, ... parts of each order; nothing and all are asked once
    place = np.argsort(orders, axis=1)
    steps = place[:, None, :] < np.arange(1, players)[None, :, None]
    ends = np.array([[False] * players, [True] * players])
    found = value(np.concatenate([ends, steps.reshape(-1, players)])).astype(np.float64)
    nothing, whole = float(found[0]), float(found[1])
    shape = (len(orders), 1)
    path = np.concatenate(
        [np.full(shape, nothing), found[2:].reshape(len(orders), players - 1), np.full(shape, whole)], axis=1
    )
    gains = np.take_along_axis(np.diff(path, axis=1), place, axis=1)
    return gains.mean(axis=0), nothing, whole
