"""What an agent learns from: it acts, and its loader is the experience that comes of it.

Where Lightning gets in the way, and what is done about it:

- It expects data that are there before training. A loader may be any iterable, though, and a generator acts only when
  the next batch is asked for: by the policy that the last optimizer step left.
- It fetches one batch ahead to learn whether it is the last one, unless the loader has a length. So each has one: else
  every action would be taken by a policy one step older than the text-book's.
- It drops the generator after an epoch's last batch. So nothing is done after the last `yield`.
- Its checkpoints hold the network and the optimizer. What else the future depends on (the environment's state, the
  replay memory, running scales, generators) is in `state_dict` here, which a LightningDataModule hands on. A checkpoint
  in the middle of an epoch would miss the rest of a rollout: they are written at the end of an epoch.
- Around each optimizer step it does a millisecond of its own, as long as a small network's step takes. PPO, which reads
  a rollout several times, makes its passes in one `training_step`, by manual optimization.
- An epoch means nothing here. It is so many rollouts, after which validation plays its episodes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from models.control.environment import Environment, Step


class Actor(Protocol):
    """A network that acts."""

    @property
    def device(self) -> torch.device: ...

    def __call__(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """observations: [n, ...] -> one number for each action [n, actions], values of the observations [n]"""

    def note(self, observations: Tensor) -> None:
        """What was seen, [m, ...]: a network may keep its scale."""

    def renew(self) -> None:
        """What was noted may count from here on."""


class Experience(ABC):
    """Batches for one epoch; the next epoch goes on where it ended.

    steps      of the environment, of all episodes together
    finished   returns of the episodes that ended since `mean_return`
    """

    def __init__(self, environment: Environment, actor: Actor, seed: int) -> None:
        self.environment, self.actor = environment, actor
        self.generator = torch.Generator().manual_seed(seed)
        self.now = environment.reset()
        self.running, self.finished, self.steps = np.zeros(environment.n), list[float](), 0
        self.latest: float | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[Tensor, ...]]: ...

    @torch.no_grad()
    def look(self, observations: np.ndarray) -> tuple[Tensor, Tensor]:
        """The actor's outputs, on the CPU."""
        outputs, values = self.actor(torch.from_numpy(observations).to(self.actor.device))
        return outputs.cpu(), values.cpu()

    def sample(self, chances: Tensor) -> np.ndarray:
        """An action of each row. chances: [n, actions] -> int [n]"""
        drawn: np.ndarray = torch.multinomial(chances, 1, generator=self.generator)[:, 0].numpy()
        return drawn

    def act(self, actions: np.ndarray) -> Step:
        step = self.environment.step(actions)
        self.now = step.observations
        self.steps += self.environment.n
        self.running += step.rewards
        if step.ended.any():
            self.finished += self.running[step.ended].tolist()
            self.running[step.ended] = 0
        return step

    def mean_return(self) -> float | None:
        """Of the episodes that ended since the last call; if none did, as before."""
        if self.finished:
            self.latest, self.finished = float(np.mean(self.finished)), []
        return self.latest

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on beside the actor; `torch.load` takes it with weights_only."""
        return {
            "environment": self.environment.state_dict(),
            "generator": self.generator.get_state(),
            "now": torch.from_numpy(self.now.copy()),
            "running": self.running.tolist(),
            "finished": list(self.finished),
            "latest": self.latest,
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.environment.load_state_dict(state["environment"])
        self.generator.set_state(state["generator"])
        self.now, self.running = state["now"].numpy().copy(), np.array(state["running"])
        self.finished, self.latest, self.steps = list(state["finished"]), state["latest"], state["steps"]
