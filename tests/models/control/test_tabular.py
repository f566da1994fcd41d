"""models/control/tabular.py against optima that are known exactly."""

import numpy as np
import pytest

from models.control.tabular import Learning, backup, greedy, q_learning, sarsa, value_iteration, value_of
from pipelines.control.data.environments.worlds import Episodes, World, cliff_walking, frozen_lake


def start_value(world: World, q: np.ndarray, discount: float, epsilon: float = 0.0) -> float:
    """Of q's epsilon-greedy policy, exactly."""
    return float(world.start @ value_of(world, greedy(q, epsilon), discount))


def test_value_iteration_finds_the_shortest_way_along_the_cliff() -> None:
    world = cliff_walking()
    q = value_iteration(world, discount=1.0)
    assert q[36].max() == -13, "up, eleven to the right, down"
    assert q[36, 1] == -100 - 13, "over the cliff, and from the start again"
    assert start_value(world, q, 1.0) == -13


def test_the_best_policy_on_slippery_ice_is_as_good_as_published() -> None:
    """0.542 at a discount of 0.99; without one, and with time enough, 14 of 17 episodes reach the goal."""
    world = frozen_lake()
    best = value_iteration(world, discount=0.99)
    assert best[0].max() == pytest.approx(0.5420, abs=1e-4)
    assert start_value(world, best, 0.99) == pytest.approx(best[0].max())
    undiscounted = value_iteration(world, discount=1.0, tolerance=1e-10)
    assert undiscounted[0].max() == pytest.approx(14 / 17, abs=1e-6)


def test_values_solve_bellmans_equation() -> None:
    rng = np.random.default_rng(0)
    world = frozen_lake()
    policy = rng.dirichlet(np.ones(4), 16)
    values = value_of(world, policy, 0.9)
    np.testing.assert_allclose((policy * backup(world, values, 0.9)).sum(axis=1), values, atol=1e-12)


def test_q_learning_takes_the_shortest_way_and_sarsa_the_safe_one() -> None:
    """Example 6.6: while one still explores, the way along the cliff is the worse one."""
    world = cliff_walking()
    how = Learning(discount=1.0, steps=60_000, epsilon=(0.1, 0.1), power=0.0)
    off = q_learning(Episodes(world, 8, seed=1, limit=500), 48, how, seed=1)
    assert start_value(world, off, 1.0) == -13
    # Averaged step sizes: SARSA's targets depend on its own random actions.
    how = Learning(discount=1.0, steps=80_000, epsilon=(0.1, 0.1), power=0.6)
    on = sarsa(Episodes(world, 8, seed=1, limit=500), 48, how, seed=1)
    assert -20 < start_value(world, on, 1.0) < -13
    assert start_value(world, on, 1.0, epsilon=0.1) > start_value(world, off, 1.0, epsilon=0.1) + 5


@pytest.mark.parametrize("learn", [q_learning, sarsa])
def test_on_slippery_ice_both_come_near_the_optimum(learn: object) -> None:
    world = frozen_lake()
    how = Learning(discount=0.99, steps=150_000, epsilon=(1.0, 0.02), power=0.6)
    assert callable(learn)
    q = learn(Episodes(world, 32, seed=2, limit=100), 16, how, seed=2)
    regret = value_iteration(world, 0.99)[0].max() - start_value(world, q, 0.99)
    assert -1e-9 < regret < 0.05


def test_the_same_seeds_give_the_same_table() -> None:
    how = Learning(discount=0.9, steps=5_000)
    one, other = (q_learning(Episodes(frozen_lake(), 4, 3, 50), 16, how, seed=3) for _ in range(2))
    assert np.array_equal(one, other)
