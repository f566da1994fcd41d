"""A trial before any work: what an environment does under random actions."""

from collections.abc import Iterator

import numpy as np

from pipelines.control.data.environments import Environment, Options, make
from roadmap.io.errors import UsageError

STEPS = 1_000


def trial(name: str, limit: int, options: Options) -> Environment:
    """The environment, if two runs from the same seeds see the same: a training could not resume otherwise.

    Raises:
        UsageError: it can't be made, raises, shows something other than it promised, or ignores its seeds.
    """
    environment = make(name, 2, 0, limit, options)
    for one, other in zip(_seen(environment), _seen(make(name, 2, 0, limit, options)), strict=True):
        if not np.array_equal(one, other):
            raise UsageError(
                f"{name}: found two episodes of one seed that differ; expected chance to come from reset(seed=...); "
                "draw from self.np_random"
            )
    return environment


def _seen(environment: Environment) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    yield environment.reset([1, 2])
    for _ in range(min(STEPS, environment.limit)):
        step = environment.step(rng.integers(environment.actions, size=environment.n))
        yield step.final
        yield step.rewards
