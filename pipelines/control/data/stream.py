"""Training and validation for Lightning: an agent plays, and is asked to play greedily from starts of their own."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import numpy as np
import pytorch_lightning as pl  # noqa: TID251 (it is imported by now; prepare depends on no roadmap/training)
import torch
from torch import Tensor

from pipelines.control.data.environments import Environment
from pipelines.control.data.episodes import play, visited
from roadmap.config.settings import TrainSettings
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

SHOWN, WANDERING = 300, 0.05  # observations that are kept, and a share of random actions beside the policy

Make = Callable[[int, int], Environment]  # how many episodes, seed


class Experience(Protocol):
    """Batches, and all that the next ones depend on; models/control/experience.py implements it."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Tensor, ...]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Agent(Protocol):
    """What a network of this project is besides; models/control/agent.py implements it."""

    environments: int
    largest_norm: float | None

    @property
    def device(self) -> torch.device: ...
    def __call__(self, observations: Tensor) -> tuple[Tensor, Tensor]: ...
    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> Experience: ...


class Greedy:
    """One batch: returns and lengths of an episode from each seed, by the agent's best actions."""

    def __init__(self, environment: Environment, agent: Agent, seeds: list[int]) -> None:
        self.environment, self.agent, self.seeds = environment, agent, seeds

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        played = play(self.environment, self.act, self.seeds)
        yield torch.from_numpy(played.returns), torch.from_numpy(played.lengths)

    @torch.no_grad()
    def act(self, observations: np.ndarray) -> np.ndarray:
        preferences, _ = self.agent(torch.from_numpy(observations).to(self.agent.device))
        chosen: np.ndarray = preferences.argmax(dim=-1).cpu().numpy()
        return chosen


def seen(agent: Agent, environment: Environment, seeds: list[int], states: int | None) -> JsonObject:
    """What a trained agent sees, evenly spaced; and the range of it, where it wanders off a little.

    environment: as the network sees it; states: how many, if its observations are such
    """
    greedy, rng = Greedy(environment, agent, seeds), np.random.default_rng(0)

    def wander(now: np.ndarray) -> np.ndarray:
        strays = rng.random(len(now)) < WANDERING
        return np.where(strays, rng.integers(environment.actions, size=len(now)), greedy.act(now))

    found = visited(environment, greedy.act, seeds)
    around = np.concatenate([found, visited(environment, wander, seeds)])
    kept = found[np.linspace(0, len(found) - 1, SHOWN).astype(int)]
    if states is not None:
        numbers = np.unique(around.argmax(axis=1)).tolist()
        return {"observations": kept.argmax(axis=1).tolist(), "states": numbers, "low": [], "high": []}
    ends = {"low": around.min(axis=0).tolist(), "high": around.max(axis=0).tolist()}
    return {"observations": kept.tolist(), "states": [], **ends}


class Stream(pl.LightningDataModule):
    """The agent's own experience, in one process; with it the checkpoint is exact.

    Args:
        starts: seeds of the episodes of validation.
    """

    def __init__(self, make: Make, starts: list[int], settings: TrainSettings, seed: int) -> None:
        super().__init__()
        self.make, self.starts, self.settings, self.seed = make, starts, settings, seed
        self.experience: Experience | None = None
        self.restored: dict[str, Any] | None = None

    @property
    def agent(self) -> Agent:
        assert self.trainer is not None
        if self.trainer.world_size > 1:
            raise UsageError(
                f"trainer.devices: found {self.trainer.world_size} processes; expected one, since an agent learns from "
                "what it did itself; set 1"
            )
        return cast(Agent, self.trainer.lightning_module)

    def train_dataloader(self) -> Experience:
        environment = self.make(self.agent.environments, self.seed)
        self.agent.largest_norm = self.settings.clip
        self.experience = self.agent.experience_in(environment, self.settings.batch_size, self.seed)
        if self.restored:
            self.experience.load_state_dict(self.restored)
        return self.experience

    def val_dataloader(self) -> Greedy:
        return Greedy(self.make(len(self.starts), self.seed), self.agent, self.starts)

    def state_dict(self) -> dict[str, Any]:
        return self.experience.state_dict() if self.experience else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Lightning restores before it asks for the loader, which needs the network."""
        self.restored = state
