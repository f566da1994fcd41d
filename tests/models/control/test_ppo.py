"""models/control/ppo.py and its rollouts: sums by hand, and a pole that stays up from starts that were kept back."""

import logging
import warnings
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from models.control.ppo import PPO
from models.control.rollouts import Batch, Rollouts, advantages
from pipelines.control.environments.cartpole import LIMIT, CartPole

HELD_BACK = np.random.default_rng(1234).uniform(-0.05, 0.05, (50, 4))


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
    model.training_step(one._replace(logprobs=chances), 0).backward()
    found = [p.grad.clone() for p in model.policy.parameters() if p.grad is not None]
    model.zero_grad()
    logits = model(one.observations)[0].log_softmax(dim=-1).gather(1, one.actions[:, None])[:, 0]
    (-(logits * one.advantages).mean()).backward()
    for got, parameter in zip(found, model.policy.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad)


def trained(seed: int, rollouts: int) -> tuple[PPO, Rollouts]:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    pl.seed_everything(seed, verbose=False)
    model = PPO(4, 2)
    data = Rollouts(CartPole(32, seed), model, steps=32, passes=4, parts=4, discount=0.98, trace=0.9, seed=seed)
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=rollouts, gradient_clip_val=0.5, enable_progress_bar=False, **quiet
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data)
    return model.eval(), data


@torch.no_grad()
def returns(model: PPO) -> np.ndarray:
    """Of the greedy policy, from states that training never began in."""
    carts = CartPole(len(HELD_BACK), seed=0)
    now, running, found = carts.begin(HELD_BACK), np.ones(len(HELD_BACK), bool), np.zeros(len(HELD_BACK))
    for _ in range(LIMIT):
        step = carts.step(model(torch.from_numpy(now))[0].argmax(dim=-1).numpy())
        found += running
        running &= ~step.ended
        now = step.observations
    return found


def test_the_pole_stays_up_within_100_000_steps() -> None:
    model, data = trained(seed=1, rollouts=96)
    assert 96 * data.steps * data.environment.n < 100_000
    found = returns(model)
    assert found.mean() >= 475, found
    assert returns(PPO(4, 2)).mean() < 200, "before training"


def test_the_same_seed_learns_the_same() -> None:
    one, other = (trained(seed=2, rollouts=2)[0].state_dict() for _ in range(2))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
