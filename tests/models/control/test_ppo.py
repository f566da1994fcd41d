"""models/control/ppo.py and its rollouts: sums by hand, and what each switch does."""

import numpy as np
import pytest
import torch

from models.control.networks import Normaliser, tanh_layers
from models.control.ppo import PPO
from models.control.rollouts import Batch, Plan, RewardScale, Rollouts, advantages
from models.control.shaping import POTENTIALS, shaped
from pipelines.control.data.environments.cartpole import CartPole
from pipelines.control.data.environments.mountain_car import MountainCar


def test_advantages_equal_a_sum_written_out() -> None:
    rng, (t, n), discount, trace = np.random.default_rng(0), (9, 3), 0.9, 0.7
    rewards, values, after = (rng.normal(size=(t, n)) for _ in range(3))
    ended = rng.random((t, n)) < 0.3
    terminated = ended & (rng.random((t, n)) < 0.5)
    found = advantages(rewards, values, after, terminated, ended, discount, trace)
    for i in range(n):
        for start in range(t):
            total, weight = 0.0, 1.0
            for k in range(start, t):
                onward = 0.0 if terminated[k, i] else after[k, i]
                total += weight * (rewards[k, i] + discount * onward - values[k, i])
                weight *= discount * trace
                if ended[k, i]:
                    break
            assert found[start, i] == pytest.approx(total)


def test_a_cut_episode_is_worth_what_would_have_come_and_an_ended_one_nothing() -> None:
    rewards, values, after = np.ones((1, 2)), np.zeros((1, 2)), np.full((1, 2), 10.0)
    found = advantages(rewards, values, after, np.array([[True, False]]), np.array([[True, True]]), 0.5, 1.0)
    assert found.tolist() == [[1.0, 6.0]]


def batch(m: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x, numbers = torch.randn(m, 4, generator=generator), torch.randn(4, m, generator=generator)
    return Batch(x, torch.arange(m) % 2, -numbers[0].abs(), numbers[1], numbers[2], numbers[3])


def test_the_clipped_objective_stops_where_the_paper_says() -> None:
    """Figure 1: no gradient beyond 1 + epsilon for good actions, and below 1 - epsilon for bad ones."""
    model = PPO(4, 2, clip=0.2)
    for ratio, advantage, moves in ((1.3, 1.0, False), (0.7, 1.0, True), (0.7, -1.0, False), (1.3, -1.0, True)):
        at = torch.tensor([ratio], requires_grad=True)
        model.policy_loss(at, torch.tensor([advantage])).backward()
        assert at.grad is not None and bool(at.grad.abs() > 0) == moves


def test_without_a_clip_the_first_gradient_is_the_policy_gradient() -> None:
    one = batch()
    model = PPO(4, 2, clip=None, normalise=False, value=0.0)
    with torch.no_grad():
        chances = model(one.observations)[0].log_softmax(dim=-1).gather(1, one.actions[:, None])[:, 0]
    model.loss(one._replace(logprobs=chances)).backward()
    found = [p.grad.clone() for p in model.policy.parameters() if p.grad is not None]
    model.zero_grad()
    logits = model(one.observations)[0].log_softmax(dim=-1).gather(1, one.actions[:, None])[:, 0]
    (-(logits * one.advantages).mean()).backward()
    for got, parameter in zip(found, model.policy.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad)


def test_the_value_loss_is_clipped_around_the_old_value() -> None:
    one = batch()
    one = one._replace(returns=one.values + 1.0)
    plain, clipped = PPO(4, 2, clip=0.2), PPO(4, 2, clip=0.2, clip_value=True)
    for moved, differs in ((0.1, False), (0.5, True)):
        values = one.values + moved
        assert bool(clipped.value_loss(values, one) > plain.value_loss(values, one)) == differs


def test_orthogonal_weights_have_their_gains_and_the_first_policy_is_nearly_uniform() -> None:
    torch.manual_seed(0)
    one, last = (tanh_layers(4, 64, 2, 0.01).get_parameter(f"{place}.weight") for place in (0, 4))
    torch.testing.assert_close(one.T @ one, 2 * torch.eye(4))
    torch.testing.assert_close(last @ last.T, 1e-4 * torch.eye(2))
    x = torch.randn(50, 4)
    spread = {flag: PPO(4, 2, orthogonal=flag)(x)[0].std() for flag in (True, False)}
    assert spread[True] < 0.02 < spread[False]


def test_a_rollout_says_what_the_policy_did() -> None:
    """Log-probabilities and values are those of the network, minibatches are all steps once per pass, and the ratio of
    the first step is 1: with a running scale, too."""
    torch.manual_seed(0)
    model = PPO(4, 2, scale=True)
    data = Rollouts(CartPole(6, seed=0), model, Plan(10, 0.98, 0.9, passes=3, batch=20, rollouts=2), seed=0)
    rollouts = list(data)
    assert len(rollouts) == len(data) == 2
    batches = list(data.minibatches(rollouts[-1]))
    assert len(batches) == 3 * 3
    assert all(len(one.actions) == 20 for one in batches)
    assert data.steps == 120
    assert model.normaliser is not None and float(model.normaliser.known.count) == 60
    for one in batches:
        logits, values = model(one.observations)
        found = logits.log_softmax(dim=-1).gather(1, one.actions[:, None])[:, 0]
        torch.testing.assert_close(found, one.logprobs)
        torch.testing.assert_close(values, one.values)
    rows = torch.cat([one.advantages for one in batches]).view(3, 60).sort(dim=1).values
    assert torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2])


def test_running_scales_equal_those_of_all_rows_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [3 + 2 * torch.randn(m, 2, generator=generator) for m in (5, 40, 300)]
    scale = Normaliser(2)
    for part in parts:
        scale.note(part)
        scale.renew()
    whole = torch.cat(parts)
    expected = (whole - whole.mean(dim=0)) / whole.std(dim=0, correction=0)
    torch.testing.assert_close(scale(whole), expected, atol=1e-5, rtol=1e-5)


def test_scaled_rewards_are_in_units_of_the_return() -> None:
    rng, scale = np.random.default_rng(0), RewardScale(4, discount=0.0)
    for _ in range(500):
        found = scale(100 * rng.normal(size=4), np.zeros(4, bool))
    assert np.isfinite(found).all()
    assert float(scale.moments.variance) == pytest.approx(100**2, rel=0.1)


def test_shaping_adds_up_to_what_the_start_has_whatever_is_done() -> None:
    """Ng et al., theorem 1: so the best policy stays the best."""
    environment, discount = MountainCar(4, seed=0), 0.9
    potential, rng = POTENTIALS["mountain_car"], np.random.default_rng(0)
    now = environment.reset()
    first, added = potential(now), np.zeros(4)
    for t in range(environment.longest):
        step = environment.step(rng.integers(3, size=4))
        after = potential(step.final)
        added += discount**t * (shaped(step.rewards, potential(now), after, step.terminated, discount) - step.rewards)
        now = step.observations
    assert step.truncated.all(), "at random it never gets out, and its last potential is discounted away"
    np.testing.assert_allclose(added, -first, atol=1e-6)


def test_the_hill_has_more_potential_than_the_valley_and_speed_adds_to_it() -> None:
    valley, hill, rolling = POTENTIALS["mountain_car"](np.array([[-np.pi / 6, 0], [0.5, 0], [-np.pi / 6, 0.05]]))
    assert valley == pytest.approx(0) and hill == pytest.approx(100, abs=3) and valley < rolling
