"""Agents over seeds, and the speed of PPO beside a loop in the style of cleanrl.

    python -m benchmarks.training.bench_control [--tasks CartPole FrozenLake] [--seeds 10] [--speed]

Each agent is trained by the project's own stream and judged greedily on 100 starts kept back. Of the seeds' means the
interquartile mean is given, with a 95% interval bootstrapped over seeds (Agarwal et al., "Deep Reinforcement Learning
at the Edge of the Statistical Precipice", 2021), and the steps after which validation reached the threshold in the
median seed. One thread; CPU-seconds.

--speed: steps per CPU-second of PPO on CartPole in the same run, ours through Lightning and the other loop with
gymnasium's environments; 4 passes of 4 minibatches, networks of 64 and 64. Ours has 32 x 32 steps a rollout, the
loop the same, and cleanrl's own 4 x 128. Ours includes validation and Lightning's start.
"""

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from benchmarks import machine
from models.control.agent import Agent
from models.control.networks import tanh_layers
from models.control.ppo import PPO
from models.control.q_table import QTable
from pipelines.control import settings
from pipelines.control.data import Data, of_card
from pipelines.control.data.episodes import play
from pipelines.control.data.stream import Greedy
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.training.callbacks import MetricHistory
from roadmap.training.fitting import quieten

QUIET: dict[str, Any] = {
    **dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False),
    "accelerator": "cpu",
    "num_sanity_val_steps": 0,
}


@dataclass(frozen=True)
class Task:
    """threshold: the return that counts as solved"""

    environment: str
    agent: type[Agent]
    epochs: int
    threshold: float
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 256


PLAIN = {"environments": 16, "steps": 16, "rollouts": 98, "discount": 0.99, "trace": 0.98, "lr": 1e-3}
TASKS: dict[str, Task] = {
    "CartPole": Task("CartPole-v1", PPO, 12, 500, {"rollouts": 8}),
    "Acrobot": Task(
        "Acrobot-v1", PPO, 16, -88,
        {"environments": 16, "steps": 256, "rollouts": 6, "discount": 0.99, "trace": 0.94, "scale": True},
    ),
    "LunarLander": Task(
        "LunarLander-v3", PPO, 12, 240,
        {"environments": 16, "steps": 1024, "rollouts": 3, "passes": 4, "discount": 0.999, "trace": 0.98, "lr": 1e-3,
         "entropy": 0.01, "scale": True}, 128,
    ),
    "MountainCar": Task("MountainCar-v0", PPO, 20, -115, {**PLAIN, "scale": True}),
    "MountainCar, plain PPO": Task("MountainCar-v0", PPO, 20, -115, PLAIN),
    "FrozenLake": Task(
        "FrozenLake-v1", QTable, 6, 0.7,
        {"environments": 32, "batches": 1_500, "explore": 200_000, "least": 0.02, "power": 0.6},
    ),
    "Taxi": Task(
        "Taxi-v4", QTable, 6, 7.5,
        {"environments": 8, "batches": 5_000, "explore": 150_000, "least": 0.05, "power": 0.0},
    ),
}  # fmt: skip


def trained(task: Task, seed: int) -> tuple[float, float | None, int, float]:
    """-> mean return on the test starts, steps to the threshold or None, all steps, CPU-seconds of the training"""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "control"
        data = settings.Data(split=(0.1, 0.4, 0.5), environment=task.environment, starts=200)
        splits.write(folder, Data().prepare(data, "full", seed), "full")
        stream = Data().training(folder)
        _, targets = Data().test_rows(folder)
        schema = splits.read_card(folder)["schema"]
    torch.manual_seed(seed)
    agent = task.agent(**stream.model, **task.options)
    history = MetricHistory(task.environment, lambda row: None)
    training = TrainSettings(epochs=task.epochs, batch_size=task.batch, clip=0.5, threads=1)
    clip = training.clip if agent.automatic_optimization else None
    trainer = pl.Trainer(max_epochs=task.epochs, gradient_clip_val=clip, callbacks=[history], **QUIET)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(agent, stream.module(training, seed))
    spent = time.process_time() - started
    environment = of_card(schema, len(targets), 0)
    seeds = targets["seed"].tolist()
    reached = [row["steps"] for row in history.rows if row["val_return"] >= task.threshold]
    mean = float(play(environment, Greedy(environment, agent, seeds).act, seeds).returns.mean())
    print(f"  seed {seed}: {mean:.2f}, {spent:.0f} CPU-s", flush=True)
    return mean, reached[0] if reached else None, int(history.rows[-1]["steps"]), spent


def interquartile(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half. [..., n] -> [...]"""
    ranked, n = np.sort(values, axis=-1), values.shape[-1]
    cut = n // 4
    found: np.ndarray = ranked[..., cut : n - cut].mean(axis=-1)
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    low, high = np.percentile(interquartile(rng.choice(values, (2_000, len(values)))), [2.5, 97.5])
    return float(low), float(high)


def plain_loop(rollouts: int, seed: int, n: int = 32, steps: int = 32) -> float:
    """PPO as cleanrl writes it, with gymnasium's vector environment. -> steps per CPU-second"""
    import gymnasium

    torch.manual_seed(seed)
    gamma, trace = 0.98, 0.9
    envs = gymnasium.make_vec("CartPole-v1", num_envs=n, vectorization_mode="sync")
    actor, critic = tanh_layers(4, 64, 2, 0.01), tanh_layers(4, 64, 1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2.5e-3, eps=1e-5)
    now = torch.tensor(envs.reset(seed=seed)[0])
    ended = torch.zeros(n)
    started = time.process_time()
    for _ in range(rollouts):
        kept: list[tuple[torch.Tensor, ...]] = []
        for _ in range(steps):
            with torch.no_grad():
                chosen = torch.distributions.Categorical(logits=actor(now))
                action = chosen.sample()
                value = critic(now).flatten()
            seen, before = now, ended
            observation, reward, terminated, truncated, _ = envs.step(action.numpy())
            rewards = torch.tensor(reward, dtype=torch.float32)
            kept.append((seen, action, chosen.log_prob(action), value, rewards, before))
            now, ended = torch.tensor(observation), torch.tensor(terminated | truncated, dtype=torch.float32)
        observations, actions, logprobs, values, earned, dones = (
            torch.stack(column) for column in zip(*kept, strict=True)
        )
        with torch.no_grad():
            following, last, gains = critic(now).flatten(), torch.zeros(n), torch.zeros_like(earned)
            for t in reversed(range(steps)):
                alive = 1 - (ended if t == steps - 1 else dones[t + 1])
                onward = following if t == steps - 1 else values[t + 1]
                last = earned[t] + gamma * onward * alive - values[t] + gamma * trace * alive * last
                gains[t] = last
            returns = gains + values
        flat = [column.flatten(0, 1) for column in (observations, actions, logprobs, gains, returns)]
        for _ in range(4):
            for rows in torch.randperm(n * steps).split(n * steps // 4):
                x, a, old, gain, target = (column[rows] for column in flat)
                chosen = torch.distributions.Categorical(logits=actor(x))
                ratio = (chosen.log_prob(a) - old).exp()
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                loss = torch.max(-gain * ratio, -gain * ratio.clamp(0.8, 1.2)).mean()
                loss = loss + 0.25 * (critic(x).flatten() - target).square().mean() - 0.0 * chosen.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
    return rollouts * n * steps / (time.process_time() - started)


def speed(rollouts: int = 40, rounds: int = 3) -> None:
    """Prints the rates, in turns."""
    rates = []
    for seed in range(rounds):
        task = Task("CartPole-v1", PPO, 1, 500, {"rollouts": rollouts})
        _, _, steps, spent = trained(task, seed)
        rates.append((steps / spent, plain_loop(rollouts, seed), plain_loop(2 * rollouts, seed, n=4, steps=128)))
    print(f"PPO on CartPole, steps per CPU-second, medians of {rounds} rounds: ours {np.median(rates, axis=0)[0]:,.0f}")
    for place, name in ((1, "32 x 32"), (2, "4 x 128, as cleanrl")):
        ratios = [row[0] / row[place] for row in rates]
        print(f"  a plain loop, {name}: {np.median(rates, axis=0)[place]:,.0f}, ours {np.median(ratios):.1f}x "
              f"({min(ratios):.1f}x to {max(ratios):.1f}x)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--speed", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    quieten()
    print(machine.line())
    if args.speed:
        speed()
    for name in args.tasks:
        rows = [trained(TASKS[name], seed) for seed in range(args.seeds)]
        means = np.array([row[0] for row in rows])
        low, high = interval(means)
        reached = [row[1] for row in rows if row[1] is not None]
        when = f"{np.median(reached):,.0f} steps" if reached else "never"
        print(
            f"{name}: interquartile mean {interquartile(means):.2f} ({low:.2f} to {high:.2f}) of {len(rows)} seeds, "
            f"lowest {means.min():.2f}; {len(reached)} reached {TASKS[name].threshold:g}, after {when} of "
            f"{rows[0][2]:,}; {np.mean([row[3] for row in rows]):.1f} CPU-s a seed",
            flush=True,
        )


if __name__ == "__main__":
    main()
