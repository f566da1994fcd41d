"""Environments of gymnasium and of the user, guarded: what is wrong with one is said in a line."""

import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from pipelines.control.data.environments.base import Options, Step
from roadmap.io.errors import UsageError

try:
    import gymnasium
    from gymnasium import error as errors
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, SyncVectorEnv
except ModuleNotFoundError:
    raise UsageError(
        "projects.control.data.environment: found no package gymnasium; run `pip install -e '.[control]'`"
    ) from None

GROUP = "roadmap.environments"  # of entry points of installed packages


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()).removesuffix('.')}"


def _own(name: str) -> object:
    """The user's, by import path or by the entry point of that name; None if it is gymnasium's."""
    module, _, attribute = name.partition(":")
    if attribute:
        return getattr(importlib.import_module(module), attribute, None)
    return next((entry.load() for entry in entry_points(group=GROUP, name=name)), None)


def single(name: str, options: Options) -> "gymnasium.Env[Any, Any]":
    """One environment by its name; see `make`.

    Raises:
        UsageError: there is none, a package is missing, or it doesn't take the options.
    """
    where = "projects.control.data.environment"
    try:
        own, keywords = _own(name), dict[str, Any](options)
        made = own(**keywords) if callable(own) else gymnasium.make(name, **keywords)
    except errors.DependencyNotInstalled as error:
        raise UsageError(
            f"{where}: {name} lacks a package ({_line(error)}); run `pip install -e '.[control]'`"
        ) from None
    except ModuleNotFoundError as error:
        wanted = f"found no module {error.name!r}; expected it on the path, as {name} needs it"
        raise UsageError(f"{where}: {wanted}; install it, or set PYTHONPATH") from None
    except errors.Error as error:  # unknown, or of a version that is no more
        raise UsageError(
            f"{where}: found {name!r}; {_line(error)}; give an id of gymnasium's, or module:name"
        ) from None
    except Exception as error:  # it is anybody's code
        options_ = f" with {dict(options)}" if options else ""
        raise UsageError(f"{where}: {name} can't be made{options_} ({_line(error)}); mend it or its options") from None
    if not isinstance(made, gymnasium.Env):
        raise UsageError(f"{where}: {name} is of type {type(made).__name__}; expected a gymnasium.Env; derive from it")
    return made


class Guarded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One environment whose observations are float32 vectors or numbers of states, and whose episodes end.

    Raises:
        UsageError: its actions are not discrete, or its observations are no numbers. Later: it raised, or an
            observation or reward is not what it promised.
    """

    def __init__(self, env: "gymnasium.Env[Any, Any]", name: str, limit: int) -> None:
        super().__init__(env)
        self.name, self.limit, self.age = name, limit, 0
        self.seed: int | None = None
        action, observed = env.action_space, env.observation_space
        if not isinstance(action, spaces.Discrete):
            raise UsageError(f"{name}: actions: found {action}; expected Discrete(n); choose one with discrete actions")
        self.first = int(action.start)
        self.action_space = spaces.Discrete(int(action.n))
        if isinstance(observed, spaces.Discrete):
            self.observation_space = spaces.Discrete(int(observed.n))
        elif observed.is_np_flattenable:
            size = int(spaces.flatdim(observed))
            self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        else:
            raise UsageError(f"{name}: observations: found {observed}; expected numbers; wrap it to give a Box")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.age, self.seed = 0, seed
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except Exception as error:
            raise self._refused(f"reset raised {_line(error)}") from None
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.age += 1
        try:
            observation, reward, terminated, truncated, info = self.env.step(int(action) + self.first)
            reward = float(reward)
        except Exception as error:
            raise self._refused(f"step raised {_line(error)}") from None
        if not np.isfinite(reward):
            raise self._refused(f"found a reward of {reward}; expected a finite one")
        cut = not terminated and (truncated or self.age >= self.limit)
        return self._seen(observation), reward, bool(terminated), bool(cut), info

    def _seen(self, observation: Any) -> Any:
        space = self.env.observation_space
        if isinstance(space, spaces.Box) and np.shape(observation) != space.shape:
            raise self._refused(f"found an observation of shape {np.shape(observation)}; expected {space.shape}")
        if isinstance(space, spaces.Discrete):
            if not space.contains(observation):
                raise self._refused(f"found the observation {observation!r}; expected one of {space}")
            return int(observation) - int(space.start)
        try:
            vector = np.asarray(spaces.flatten(space, observation), np.float32)
        except Exception as error:
            raise self._refused(f"found an observation that is none of {space} ({_line(error)})") from None
        if not np.isfinite(vector).all():
            raise self._refused(f"found an observation with {vector[~np.isfinite(vector)][0]}; expected finite numbers")
        return vector

    def _refused(self, found: str) -> UsageError:
        return UsageError(f"{self.name}: episode of seed {self.seed}, step {self.age}: {found}; mend the environment")


class Gymnasium:
    """n environments behind gymnasium's vector API.

    It resets what has ended within the same step, as SAME_STEP does, but with seeds of our own. So the state of an
    episode is its seed and the actions since, whatever simulator is behind: Box2D's worlds can't be pickled.
    """

    def __init__(self, name: str, n: int, seed: int, limit: int, options: Options) -> None:
        self.name, self.n, self.limit = name, n, limit
        makers = [lambda: Guarded(single(name, options), name, limit)] * n
        self.envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED)
        space, action = self.envs.single_observation_space, self.envs.single_action_space
        assert isinstance(action, spaces.Discrete)
        self.states = int(space.n) if isinstance(space, spaces.Discrete) else None
        self.size, self.actions = int(spaces.flatdim(space)), int(action.n)
        self.rng = np.random.default_rng(seed)
        self.seeds = np.zeros(n, np.int64)
        self.taken: list[list[int]] = [[] for _ in range(n)]

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        self.seeds = self.rng.integers(2**31, size=self.n) if seeds is None else np.array(seeds, np.int64)
        self.taken = [[] for _ in range(self.n)]
        observations, _ = self.envs.reset(seed=[*self.seeds.tolist()])
        return np.asarray(observations)

    def step(self, actions: np.ndarray) -> Step:
        final, rewards, terminated, truncated, _ = self.envs.step(actions)
        for taken, action in zip(self.taken, actions.tolist(), strict=True):
            taken.append(action)
        ended = terminated | truncated
        observations = final
        if ended.any():
            self.seeds[ended] = self.rng.integers(2**31, size=int(ended.sum()))
            for i in np.flatnonzero(ended):
                self.taken[i] = []
            observations, _ = self.envs.reset(seed=[*self.seeds.tolist()], options={"reset_mask": ended})
        # The vector environment keeps the two masks and writes into them at the next step.
        return Step(observations, rewards.astype(np.float32), terminated.copy(), truncated.copy(), final)

    def state_dict(self) -> dict[str, Any]:
        return {
            "seeds": self.seeds.tolist(),
            "taken": [taken.copy() for taken in self.taken],
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Plays each episode again up to where it was."""
        self.reset(state["seeds"])
        self.rng.bit_generator.state = state["rng"]
        self.taken = [list(taken) for taken in state["taken"]]
        for env, taken in zip(self.envs.envs, self.taken, strict=True):
            for action in taken:
                env.step(action)
