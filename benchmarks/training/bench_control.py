"""Agents over seeds, what their switches are worth, and the speed of PPO beside a loop in the style of cleanrl.

    python -m benchmarks.training.bench_control [--environments CartPole-v1 Taxi-v4] [--seeds 10]
    python -m benchmarks.training.bench_control --ablation | --agents | --mountain [--seeds 5]
    python -m benchmarks.training.bench_control --speed

Settings are those of params.yaml for the environment. Each agent is trained by the project's own stream and judged
greedily on 100 starts kept back. Of the seeds' means the interquartile mean is given, with a 95% interval bootstrapped
over seeds (Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021), and the steps
after which validation reached the threshold in the median seed. One thread; CPU-seconds.

--ablation: on CartPole, switches of PPO, DQN and REINFORCE turned one by one. --agents: one beside the other, on
CartPole and FrozenLake. --mountain: what MountainCar needs. Beside the last return the mean over the training is given,
of greedy validations: the larger, the sooner it learnt.

--speed: steps per CPU-second of PPO on CartPole in the same run, ours through Lightning and the other loop with
gymnasium's environments; 4 passes of 4 minibatches, networks of 64 and 64. Ours has 32 x 32 steps a rollout, the
loop the same, and cleanrl's own 4 x 128. Ours is the whole training of the sample with Lightning's start.
"""

import argparse
import importlib
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from benchmarks import machine
from models.control.networks import tanh_layers
from pipelines.control import settings
from pipelines.control.data import Data, of_card
from pipelines.control.data.episodes import play
from pipelines.control.data.stream import Greedy
from roadmap.config.check import block_of
from roadmap.config.params import params
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.training.callbacks import MetricHistory
from roadmap.training.fitting import quieten

QUIET: dict[str, Any] = {
    **dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False),
    "accelerator": "cpu",
    "num_sanity_val_steps": 0,
}


THRESHOLDS = {
    "CartPole-v1": 500, "Acrobot-v1": -88, "LunarLander-v3": 240, "MountainCar-v0": -115, "FrozenLake-v1": 0.7,
    "Taxi-v4": 7.5,
}  # fmt: skip
A2C = {"_target_": "models.control.a2c.A2C", "environments": 16, "steps": 5, "rollouts": 48, "lr": 1e-3, "trace": 1.0}
DQN = {
    "_target_": "models.control.dqn.DQN", "environments": 8, "batches": 512, "every": 1, "capacity": 20_000,
    "start": 1_000, "explore": 10_000, "renew": 100, "lr": 1e-3,
}  # fmt: skip
REINFORCE = {"_target_": "models.control.reinforce.REINFORCE", "environments": 8, "batches": 10, "lr": 5e-3}
LAKE = {"environments": 32, "batches": 1_500, "explore": 200_000, "least": 0.02, "power": 0.6}
SARSA = {"_target_": "models.control.q_table.QTable", **LAKE, "on_policy": True}


@dataclass(frozen=True)
class Case:
    """A training. model: instead of params.yaml's, whole with `_target_`, else some of its keys"""

    name: str
    environment: str
    model: JsonObject | None = None
    epochs: int | None = None


def ablation() -> list[Case]:
    """Half of the sample's steps: the details decide how soon, more than whether."""
    ppo: dict[str, JsonObject] = {
        "PPO as in the sample": {},
        "advantages not normalised": {"normalise": False},
        "value clipped": {"clip_value": True},
        "ratio not clipped": {"clip": None},
        "lambda 1": {"trace": 1.0},
        "lambda 0": {"trace": 0.0},
        "PyTorch's weights": {"orthogonal": False},
        "rate not annealed": {"anneal": False},
        "entropy 0.01": {"entropy": 0.01},
        "observations and rewards scaled": {"scale": True},
    }
    dqn = {"DQN": {}, "double": {"double": True}, "duelling": {"duelling": True}, "prioritised": {"prioritised": True}}
    reinforce = {"REINFORCE, baseline": {"baseline": True}, "no baseline": {"baseline": False}}
    return [
        *(Case(name, "CartPole-v1", changes, 6) for name, changes in ppo.items()),
        *(Case(name, "CartPole-v1", {**DQN, **changes}, 10) for name, changes in dqn.items()),
        *(Case(name, "CartPole-v1", {**REINFORCE, **changes}, 10) for name, changes in reinforce.items()),
    ]


def agents() -> list[Case]:
    return [
        Case("PPO", "CartPole-v1"), Case("A2C", "CartPole-v1", A2C, 12), Case("DQN", "CartPole-v1", DQN, 12),
        Case("REINFORCE", "CartPole-v1", REINFORCE, 12), Case("Q-learning", "FrozenLake-v1"),
        Case("SARSA", "FrozenLake-v1", SARSA),
    ]  # fmt: skip


def mountain() -> list[Case]:
    return [
        Case("PPO", "MountainCar-v0", {"scale": False, "shaping": None}),
        Case("scaled", "MountainCar-v0", {"shaping": None}),
        Case("shaped", "MountainCar-v0", {"scale": False}),
        Case("scaled and shaped", "MountainCar-v0"),
    ]


@dataclass(frozen=True)
class Outcome:
    """last: mean return on the test starts; mean: of the validations; reached: steps to the threshold, or None"""

    last: float
    mean: float
    reached: int | None
    steps: int
    spent: float


def block_for(environment: str) -> JsonObject:
    """Of params.yaml."""
    block = params()["projects"]["control"]
    block["data"]["environment"] = environment
    return block_of("control", block, "full")


def trained(case: Case, seed: int) -> Outcome:
    block = block_for(case.environment)
    changes = case.model or {}
    model = {**({} if "_target_" in changes else block["model"]), **changes}
    keys = settings.Agent.of(model["_target_"]).model_validate(model).kwargs()
    training = TrainSettings(**{**block["train"], "epochs": case.epochs or block["train"]["epochs"]})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "control"
        data = settings.Data(split=(0.1, 0.4, 0.5), environment=case.environment, starts=200)
        splits.write(folder, Data().prepare(data, "full", seed), "full")
        stream = Data().training(folder)
        _, targets = Data().test_rows(folder)
        schema = splits.read_card(folder)["schema"]
    torch.manual_seed(seed)
    module, _, cls = model["_target_"].rpartition(".")
    agent = getattr(importlib.import_module(module), cls)(**stream.model, **keys)
    history = MetricHistory(case.name, lambda row: None)
    clip = training.clip if agent.automatic_optimization else None
    trainer = pl.Trainer(max_epochs=training.epochs, gradient_clip_val=clip, callbacks=[history], **QUIET)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(agent, stream.module(training, seed))
    spent = time.process_time() - started
    environment = of_card(schema, len(targets), 0)
    seeds = targets["seed"].tolist()
    last = float(play(environment, Greedy(environment, agent, seeds).act, seeds).returns.mean())
    seen = [row["val_return"] for row in history.rows]
    reached = [int(row["steps"]) for row in history.rows if row["val_return"] >= THRESHOLDS[case.environment]]
    found = Outcome(last, float(np.mean(seen)), min(reached, default=None), int(history.rows[-1]["steps"]), spent)
    print(f"  {case.name}, seed {seed}: {found}", flush=True)
    return found


def over_seeds(case: Case, seeds: int) -> None:
    """Trains and prints a line."""
    found = [trained(case, seed) for seed in range(seeds)]
    last, mean = (np.array([getattr(one, key) for one in found]) for key in ("last", "mean"))
    reached = [one.reached for one in found if one.reached]
    when = f", after {np.median(reached):,.0f} steps" if reached else ""
    spent = np.mean([one.spent for one in found])
    print(
        f"{case.environment}, {case.name}: {interquartile(last):.2f} {interval(last)}, lowest {last.min():.2f}; "
        f"over the training {interquartile(mean):.2f} {interval(mean)};\n  {len(reached)} of {seeds} seeds reached "
        f"{THRESHOLDS[case.environment]:g}{when} of {found[0].steps:,}; {spent:.1f} CPU-s a seed",
        flush=True,
    )


def interquartile(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half. [..., n] -> [...]"""
    ranked, n = np.sort(values, axis=-1), values.shape[-1]
    cut = n // 4
    found: np.ndarray = ranked[..., cut : n - cut].mean(axis=-1)
    return found


def interval(values: np.ndarray) -> str:
    """Of the interquartile mean, 95%."""
    rng = np.random.default_rng(0)
    low, high = np.percentile(interquartile(rng.choice(values, (2_000, len(values)))), [2.5, 97.5])
    return f"({low:.2f} to {high:.2f})"


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


def speed(rollouts: int = 96, rounds: int = 5) -> None:
    """Prints the rates, in turns."""
    rates = []
    for seed in range(rounds):
        ours = trained(Case("PPO", "CartPole-v1", {"rollouts": rollouts}, 1), seed)
        rates.append((ours.steps / ours.spent, plain_loop(rollouts, seed), plain_loop(rollouts, seed, n=4, steps=128)))
    print(f"PPO on CartPole, steps per CPU-second, medians of {rounds} rounds: ours {np.median(rates, axis=0)[0]:,.0f}")
    for place, name in ((1, "32 x 32"), (2, "4 x 128, as cleanrl")):
        ratios = [row[0] / row[place] for row in rates]
        print(f"  a plain loop, {name}: {np.median(rates, axis=0)[place]:,.0f}, ours {np.median(ratios):.1f}x "
              f"({min(ratios):.1f}x to {max(ratios):.1f}x)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", nargs="*", default=list(THRESHOLDS), choices=list(THRESHOLDS))
    parser.add_argument("--seeds", type=int, default=10)
    for name in ("ablation", "agents", "mountain", "speed"):
        parser.add_argument(f"--{name}", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    quieten()
    print(machine.line())
    if args.speed:
        speed()
        return
    cases = [
        *(ablation() if args.ablation else []),
        *(agents() if args.agents else []),
        *(mountain() if args.mountain else []),
    ]
    for case in cases or [Case("as in params.yaml", environment) for environment in args.environments]:
        over_seeds(case, args.seeds)


if __name__ == "__main__":
    main()
