"""The agents in a world whose optimum is known exactly, and their parts against sums by hand."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from models.control.a2c import A2C
from models.control.agent import Agent
from models.control.dqn import DQN, QNetwork
from models.control.ppo import PPO
from models.control.reinforce import REINFORCE, WholeEpisodes
from models.control.replay import Memory, SumTree, Transitions
from models.control.rollouts import Batch
from models.control.tabular import greedy, value_iteration, value_of
from pipelines.control.data.environments import OneHot
from pipelines.control.data.environments.base import Step
from pipelines.control.data.environments.worlds import Episodes, World

DISCOUNT = 0.9


def corridor(length: int = 5) -> World:
    """Left: 0.3 at once, and the end. Right: on; at the end of the corridor 1, which is worth more from anywhere."""
    s = length + 1
    probabilities, rewards = np.zeros((2, s, 2, s))
    for state in range(length):
        probabilities[state, 0, length] = probabilities[state, 1, state + 1] = 1.0
        rewards[state, 0, length] = 0.3
    rewards[length - 1, 1, length] = 1.0
    probabilities[length, :, length] = 1.0
    start = np.full(s, 1 / length)
    start[length] = 0
    return World(probabilities, rewards, np.arange(s) == length, start)


def trained(agent: Agent, epochs: int, batch_size: int = 64) -> Agent:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    data = agent.experience_in(OneHot(Episodes(corridor(), agent.environments, seed=0, limit=50)), batch_size, seed=0)
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=epochs, enable_progress_bar=False, **quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(agent, data)
    return agent.eval()


AGENTS: dict[str, Callable[[], Agent]] = {
    "ppo": lambda: PPO(6, 2, environments=8, steps=16, rollouts=20, discount=DISCOUNT, hidden=16, lr=0.01),
    "a2c": lambda: A2C(6, 2, environments=8, rollouts=300, discount=DISCOUNT, hidden=16, lr=0.005),
    "reinforce": lambda: REINFORCE(6, 2, environments=16, batches=150, discount=DISCOUNT, baseline=False, hidden=16),
    "reinforce-baseline": lambda: REINFORCE(6, 2, environments=16, batches=150, discount=DISCOUNT, hidden=16),
}


@pytest.mark.parametrize(
    "name", ["ppo", "a2c", pytest.param("reinforce", marks=pytest.mark.slow), "reinforce-baseline"]
)
def test_policy_gradients_find_the_best_policy(name: str) -> None:
    torch.manual_seed(0)
    agent, world = AGENTS[name](), corridor()
    best = value_iteration(world, DISCOUNT)
    untrained = world.start @ value_of(world, np.full((6, 2), 0.5), DISCOUNT)
    trained(agent, epochs=1)
    with torch.no_grad():
        logits, values = agent(torch.eye(6))
        policy = agent.chances(logits).double().numpy()
    found, optimum = (world.start @ value_of(world, one, DISCOUNT) for one in (policy, greedy(best)))
    assert optimum - untrained > 0.3
    assert optimum - found < 0.1, policy
    assert (policy[:5].argmax(axis=1) == best[:5].argmax(axis=1)).all()
    if name != "reinforce":
        np.testing.assert_allclose(values[:5], best[:5].max(axis=1), atol=0.15)


@pytest.mark.parametrize(
    "options",
    [
        {"double": True, "duelling": True, "prioritised": True},
        *(pytest.param(each, marks=pytest.mark.slow) for each in ({}, {"double": True}, {"duelling": True})),
    ],
    ids=str,
)
def test_dqn_finds_the_q_of_value_iteration(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    agent = DQN(
        6, 2, batches=600, capacity=2_000, start=200, explore=2_000, least=0.3, renew=25, discount=DISCOUNT, hidden=32,
        lr=3e-3, **options,
    )  # fmt: skip
    trained(agent, epochs=1, batch_size=32)
    with torch.no_grad():
        q, values = agent(torch.eye(6))
    np.testing.assert_allclose(q[:5], value_iteration(corridor(), DISCOUNT)[:5], atol=0.06)
    assert torch.equal(values, q.max(dim=1).values)
    assert agent.chances(q).tolist() == [[0.0, 1.0]] * 5 + agent.chances(q).tolist()[5:]


def transitions() -> Transitions:
    generator = torch.Generator().manual_seed(1)
    x, following = torch.randn(2, 3, 4, generator=generator)
    ended = torch.tensor([False, True, False])
    return Transitions(x, torch.tensor([0, 1, 1]), torch.ones(3), following, ended, torch.ones(3), torch.arange(3))


def test_targets_are_those_of_the_two_papers() -> None:
    torch.manual_seed(0)
    batch = transitions()
    plain, double = DQN(4, 2, discount=0.5), DQN(4, 2, discount=0.5, double=True)
    for agent in (plain, double):
        for parameter in agent.target.parameters():
            torch.nn.init.normal_(parameter)
        q, own = agent.target(batch.following), agent.online(batch.following)
        for i, found in enumerate(agent.targets(batch).tolist()):
            best = (own if agent is double else q)[i].argmax()
            expected = 1.0 if batch.terminated[i] else 1.0 + 0.5 * float(q[i, best])
            assert found == pytest.approx(expected)


def test_a_duelling_networks_advantages_have_mean_0() -> None:
    torch.manual_seed(0)
    network, x = QNetwork(4, 3, 8, duelling=True), torch.randn(5, 4)
    assert network.value is not None
    torch.testing.assert_close(network(x).mean(dim=1), network.value(network.body(x))[:, 0])


def test_a_sum_tree_draws_in_proportion() -> None:
    rng, tree = np.random.default_rng(0), SumTree(11)
    numbers = rng.random(11)
    tree[np.arange(11)] = numbers
    tree[np.array([3, 3, 7])] = np.array([0.5, 0.5, 0.0])  # a row may be drawn twice
    numbers[[3, 7]] = 0.5, 0.0
    assert tree.total == pytest.approx(numbers.sum())
    found = np.bincount(tree.find((np.arange(10_000) + 0.5) / 10_000 * tree.total), minlength=11) / 10_000
    np.testing.assert_allclose(found, numbers / numbers.sum(), atol=1e-3)


def steps(n: int, value: float) -> tuple[np.ndarray, np.ndarray, Step]:
    x, no = np.full((n, 2), value, np.float32), np.zeros(n, bool)
    return x, np.zeros(n, np.int64), Step(x, np.full(n, value, np.float32), no, no, x + 1)


def test_a_memory_forgets_the_oldest_and_prefers_what_surprised() -> None:
    memory = Memory(10, 2, prioritised=True, seed=0)
    for value in range(7):
        memory.add(*steps(2, value))
    assert len(memory) == 10
    batch = memory.draw(200)
    assert set(batch.rewards.tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0}
    assert torch.equal(batch.following, batch.observations + 1)
    rows = torch.arange(10)
    memory.prioritise(rows, torch.where(rows == 4, 10.0, 0.0))
    batch = memory.draw(200)
    assert (batch.rows == 4).float().mean() > 0.8
    # The importance weights make up for it: the mean over the batch is that over the memory.
    weights = 1 / batch.chances
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.35)


def test_what_follows_the_end_is_not_the_next_episodes_start() -> None:
    memory, x = Memory(4, 2, prioritised=False, seed=0), np.zeros((1, 2), np.float32)
    yes, no = np.ones(1, bool), np.zeros(1, bool)
    memory.add(x, np.zeros(1, np.int64), Step(x + 5, np.ones(1, np.float32), yes, no, x + 9))
    batch = memory.draw(1)
    assert batch.following.tolist() == [[9.0, 9.0]] and batch.terminated.tolist() == [True]


def test_reinforce_learns_from_whole_episodes_only() -> None:
    agent = REINFORCE(6, 2, baseline=False)
    with torch.no_grad():
        agent.policy.get_parameter("4.bias")[1] = 100.0  # always right
    data = WholeEpisodes(OneHot(Episodes(corridor(), 5, seed=3, limit=50)), agent, 0.5, batches=2, seed=0)
    for number, batch in enumerate(data, start=1):
        at = batch.observations.argmax(dim=1)
        assert int((at == 4).sum()) == 5, "each of the five reached the end once"
        assert torch.equal(batch.returns, 0.5 ** (4 - at))
        assert data.finished == [1.0] * 5 * number


def test_a_baseline_changes_the_gradients_variance_and_not_its_mean() -> None:
    """Section 13.4, on the exact policy gradient of one state with two actions."""
    torch.manual_seed(0)
    agent = REINFORCE(2, 2, baseline=False, hidden=4)
    x, rewards = torch.tensor([[1.0, 0.0]]), torch.tensor([1.0, 3.0])
    found: dict[float, list[torch.Tensor]] = {0.0: [], 2.0: []}
    chances = agent(x)[0].softmax(dim=-1)[0].detach()
    for baseline, gradients in found.items():
        for action in (0, 1):
            agent.zero_grad()
            worth = (rewards[action] - baseline)[None]
            batch = Batch(x, torch.tensor([action]), torch.zeros(1), torch.zeros(1), worth, worth)
            agent.training_step(batch, 0).backward()
            gradients.append(torch.cat([p.grad.flatten() for p in agent.policy.parameters() if p.grad is not None]))
    means = {baseline: chances[0] * one[0] + chances[1] * one[1] for baseline, one in found.items()}
    torch.testing.assert_close(means[0.0], means[2.0], atol=1e-5, rtol=1e-4)
    spread = {
        baseline: sum(float(chances[i] * (one[i] - means[baseline]).square().sum()) for i in (0, 1))
        for baseline, one in found.items()
    }
    assert spread[2.0] < 0.1 * spread[0.0]


def test_a2c_is_ppo_of_one_pass_without_its_details() -> None:
    """Huang et al., "A2C Is a Special Case of PPO" (2022): the gradients are equal."""
    torch.manual_seed(0)
    a2c = A2C(4, 2, value=0.25, entropy=0.01)
    ppo = PPO(4, 2, clip=0.2, normalise=False, value=0.5, entropy=0.01)
    ppo.load_state_dict(a2c.state_dict())
    generator = torch.Generator().manual_seed(0)
    x, numbers = torch.randn(6, 4, generator=generator), torch.randn(2, 6, generator=generator)
    actions = torch.arange(6) % 2
    with torch.no_grad():
        logits, values = a2c(x)
        logprobs = logits.log_softmax(dim=-1).gather(1, actions[:, None])[:, 0]
    batch = Batch(x, actions, logprobs, values, numbers[0], numbers[1])
    a2c.training_step(batch, 0).backward()
    ppo.loss(batch).backward()
    for (name, one), other in zip(a2c.named_parameters(), ppo.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)
