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
    environment, ends = make(name, 2, 0, limit, options), False
    for (one, ended), (other, _) in zip(_seen(environment), _seen(make(name, 2, 0, limit, options)), strict=True):
        ends |= ended
        if not np.array_equal(one, other):
            raise UsageError(
                f"{name}: found two episodes of one seed that differ; expected chance to come from reset(seed=...); "
                "draw from self.np_random"
            )
    if not ends:
        print(f"{name}: no episode ended in {STEPS:,} random steps; it is cut after {limit:,} (data.limit)")
    return environment


def _seen(environment: Environment) -> Iterator[tuple[np.ndarray, bool]]:
    """What is observed and earned, and whether an episode ended."""
    rng = np.random.default_rng(0)
    yield environment.reset([1, 2]), False
    for _ in range(min(STEPS, environment.limit)):
        step = environment.step(rng.integers(environment.actions, size=environment.n))
        ended = bool(step.ended.any())
        yield step.final, ended
        yield step.rewards, ended
