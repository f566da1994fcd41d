"""Our environments against gymnasium's: the same dynamics over whole episodes, and the same tables."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from models.control.tabular import value_of
from pipelines.control.data.environments import CLASSIC
from pipelines.control.data.environments.acrobot import Acrobot
from pipelines.control.data.environments.cartpole import CartPole
from pipelines.control.data.environments.worlds import Episodes, World, cliff_walking, frozen_lake
from pipelines.control.data.episodes import play

WORLDS: dict[str, tuple[World, dict[str, Any]]] = {
    "FrozenLake-v1": (frozen_lake(), {"is_slippery": True}),
    "CliffWalking-v1": (cliff_walking(), {}),
}


Policy = Callable[[np.ndarray], np.ndarray]
SCRIPTED: dict[str, tuple[Policy, int, int]] = {  # a policy that knows how, and the steps that its episodes last
    "CartPole-v1": (lambda now: (now[:, 2] + 0.5 * now[:, 3] + 0.05 * now[:, 0] > 0).astype(int), 500, 500),
    "Acrobot-v1": (lambda now: np.where(now[:, 4] > 0, 0, 2), 60, 499),
    "MountainCar-v0": (lambda now: np.where(now[:, 1] < 0, 0, 2), 80, 199),
}


@pytest.mark.parametrize("scripted", [True, False], ids=["scripted", "random"])
@pytest.mark.parametrize("name", CLASSIC)
def test_what_moves_moves_as_gymnasiums_over_whole_episodes(name: str, scripted: bool) -> None:
    """Rounding must agree to the last bit: Acrobot is chaotic."""
    ours, rng = CLASSIC[name](6, seed=3), np.random.default_rng(0)
    act, shortest, longest = SCRIPTED[name]
    observations = ours.reset()
    theirs = [gymnasium.make(name) for _ in range(ours.n)]
    lengths = np.zeros(ours.n, int)
    for reference, state in zip(theirs, ours.state, strict=True):
        reference.reset(seed=0)
        reference.unwrapped.state = state.copy()  # type: ignore[attr-defined]
    running = np.ones(ours.n, bool)
    while running.any():
        actions = act(observations) if scripted else rng.integers(ours.actions, size=ours.n)
        step = ours.step(actions)
        for i in np.flatnonzero(running):
            expected, reward, terminated, truncated, _ = theirs[i].step(int(actions[i]))
            np.testing.assert_allclose(step.final[i], expected, atol=1e-6)
            assert (step.rewards[i], step.terminated[i], step.truncated[i]) == (reward, terminated, truncated)
        lengths += running
        running &= ~step.ended
        observations = step.observations
    if scripted:
        assert (shortest <= lengths).all() and (lengths <= longest).all(), lengths


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_have_the_tables_of_gymnasium(name: str) -> None:
    world, options = WORLDS[name]
    table: Any = gymnasium.make(name, **options).unwrapped
    for state in np.flatnonzero(~world.terminal):
        for action, ways in table.P[state].items():
            chances = np.zeros(len(world.terminal))
            for chance, there, reward, ended in ways:
                chances[there] += chance
                assert world.rewards[state, action, there] == reward
                assert world.terminal[there] == ended
            np.testing.assert_allclose(world.probabilities[state, action], chances, atol=1e-12)
    np.testing.assert_allclose(world.start, table.initial_state_distrib)


def test_episodes_follow_the_probabilities_and_end_at_their_limit() -> None:
    world = frozen_lake()
    episodes, counts, rng = Episodes(world, 64, seed=1, limit=7), np.zeros((16, 4, 16)), np.random.default_rng(2)
    now, ages = episodes.reset(), np.zeros(64, int)
    for _ in range(1500):
        actions = rng.integers(4, size=64)
        step = episodes.step(actions)
        np.add.at(counts, (now, actions, step.final), 1)
        ages += 1
        assert np.array_equal(step.terminated, world.terminal[step.final])
        assert np.array_equal(step.truncated, (ages == 7) & ~step.terminated)
        assert (step.observations[step.ended] == 0).all(), "the next episode begins at the start"
        ages[step.ended] = 0
        now = step.observations
    seen = counts.sum(axis=2) > 500
    shares = counts[seen] / counts[seen].sum(axis=1, keepdims=True)
    assert seen.sum() >= 20
    np.testing.assert_allclose(shares, world.probabilities[seen], atol=0.08)


@pytest.mark.parametrize(
    "make",
    [lambda seed: CartPole(5, seed), lambda seed: Acrobot(5, seed), lambda seed: Episodes(frozen_lake(), 5, seed, 9)],
)
def test_a_restored_environment_goes_on_as_before(make: Any) -> None:
    rng = np.random.default_rng(0)
    one, other = make(1), make(2)
    one.reset(), other.reset()
    for _ in range(20):
        one.step(rng.integers(2, size=5))
    other.load_state_dict(one.state_dict())
    for _ in range(60):
        actions = rng.integers(2, size=5)
        for left, right in zip(one.step(actions), other.step(actions), strict=True):
            assert np.array_equal(left, right)


@pytest.mark.parametrize("name", CLASSIC)
def test_a_seed_starts_as_in_gymnasium(name: str) -> None:
    reference = gymnasium.make(name)
    expected = np.stack([reference.reset(seed=seed)[0] for seed in (5, 2**31 + 7)])
    np.testing.assert_allclose(CLASSIC[name](2, seed=0).reset([5, 2**31 + 7]), expected, atol=1e-7)


def test_episodes_by_random_actions_are_worth_what_the_table_says() -> None:
    """The table's own chances, not gymnasium's generator: so their means, over as many episodes, must agree."""
    environment, rng = Episodes(frozen_lake(), 400, seed=0, limit=100), np.random.default_rng(0)
    found = play(environment, lambda now: rng.integers(4, size=len(now)), range(400))
    world = frozen_lake()
    exact = float(world.start @ value_of(world, np.full((16, 4), 0.25), 1.0 - 1e-9))
    assert found.returns.mean() == pytest.approx(exact, abs=0.02)
    again = play(Episodes(frozen_lake(), 400, 1, 100), lambda now: np.zeros(len(now), int), range(400))
    same = play(Episodes(frozen_lake(), 400, 2, 100), lambda now: np.zeros(len(now), int), range(400))
    assert np.array_equal(again.lengths, same.lengths)
