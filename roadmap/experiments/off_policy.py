"""What another policy would have earned, by episodes of the policy that was served.

    ips    importance sampling by decision (Precup, Sutton and Singh, "Eligibility Traces for Off-Policy Policy
           Evaluation", 2000): a reward counts by how much likelier the other policy was to do what led to it
    snips  the same, divided by the weights' sum and not by the number of episodes: biased a little, and much steadier
    dr     doubly robust (Jiang and Li, "Doubly Robust Off-policy Value Evaluation for Reinforcement Learning", 2016,
           equation 10): a model's estimate, and importance sampling of its errors alone. The model is a linear
           one, fitted on the other half of the episodes (fitted Q evaluation, in closed form)

Intervals are bootstrapped over episodes. Where few episodes carry all weight, the log cannot say, whatever the
interval. `effective` counts them (Kong, 1992): of all, and, if the policies differ in more than a hundredth of the
episodes, of those that went the other policy's way there. The former alone is deceived by episodes that never come to
where the two differ; benchmarks/simulations/simulate_off_policy.py has the error rates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES, RIDGE = 2_000, 1e-3
LEAST = 30.0  # effective episodes
RARE = 0.01  # share of the episodes


@dataclass(frozen=True)
class Logged:
    """m steps, episode by episode and in order.

    episodes      int [m], ascending from 0
    features      of the observation, [m, d]; a constant among them
    actions       int [m]
    rewards       [m]
    behaviour     how likely the action was to be given, [m]
    target        how likely each action is by the other policy, [m, a]
    """

    episodes: np.ndarray
    features: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    behaviour: np.ndarray
    target: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """bool [m]: the step is its episode's last one."""
        return np.append(self.episodes[1:] != self.episodes[:-1], True)


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OffPolicy:
    """logged: the mean return of the policy that was served; estimates: of the policy in question

    effective: how many episodes speak of it; see above
    """

    logged: Estimate
    estimates: Mapping[str, Estimate]
    episodes: int
    effective: float

    @property
    def says(self) -> bool:
        """Whether enough episodes agree with the other policy."""
        return self.effective >= LEAST

    @property
    def verdict(self) -> str:
        """better, worse, open, or silent: the log cannot say.

        The two intervals must be apart. A bootstrap of the difference alone is wrong too often where rewards are rare.
        """
        if not self.says:
            return "silent"
        dr = self.estimates["dr"]
        return "better" if dr.low > self.logged.high else "worse" if dr.high < self.logged.low else "open"


def estimate(logged: Logged, seed: int) -> OffPolicy:
    """
    Raises:
        ValueError: fewer than two episodes, or an action that was given with no chance.
    """
    if (n := int(logged.episodes[-1]) + 1 if len(logged.episodes) else 0) < 2:
        raise ValueError(f"found {n} episodes; expected at least 2")
    if not (logged.behaviour > 0).all():
        raise ValueError("found an action whose chance was 0; expected every logged action to have one")
    steps = np.concatenate([np.arange(length) for length in np.bincount(logged.episodes)])
    ratio = logged.target[np.arange(len(steps)), logged.actions] / logged.behaviour
    weights = _grid(ratio, logged, steps, 1.0).cumprod(axis=1)  # [n, t]; after the end as at the end
    rewards = _grid(logged.rewards, logged, steps, 0.0)
    q, v = _model(logged)
    before = np.concatenate([np.ones((n, 1)), weights[:, :-1]], axis=1)
    errors = weights * (rewards - _grid(q, logged, steps, 0.0)) + before * _grid(v, logged, steps, 0.0)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)  # [RESAMPLES, n]

    def of_mean(values: np.ndarray) -> Estimate:
        return _estimate(float(values.mean()), counts @ values / n)

    total = weights.sum(axis=0)
    weighed, drawn = (weights * rewards).sum(axis=0), np.maximum(counts @ weights, 1e-300)
    snips = _estimate(
        float((weighed / np.maximum(total, 1e-300)).sum()), (counts @ (weights * rewards) / drawn).sum(axis=1)
    )
    effective = _effective(weights[:, -1])
    # Where the other policy does what the served one seldom does: it was done, or something usual was.
    done, undone = ratio > 2, (ratio < 0.5) & (logged.behaviour > 0.5)
    there = (before > 0) & _grid(done | undone, logged, steps, False)
    if there.any(axis=1).mean() > RARE:
        went = (there & _grid(done, logged, steps, False)).any(axis=1)
        effective = min(effective, _effective(weights[went, -1]))
    found = {"ips": of_mean((weights * rewards).sum(axis=1)), "snips": snips, "dr": of_mean(errors.sum(axis=1))}
    return OffPolicy(of_mean(rewards.sum(axis=1)), found, n, effective)


def sentence(project: str, version: str, found: OffPolicy) -> str:
    """version: of the bundle in question"""
    episodes = f"{found.episodes:,} episodes, of which {found.effective:.1f} speak of it"
    if not found.says:
        return (
            f"{project}: the log cannot say what {version} would have earned: it has {episodes}, needed: {LEAST:g}. "
            "Explore more, or ask about a policy nearer to the served one."
        )
    said = {"better": "would have earned more than", "worse": "would have earned less than", "open": "may or may not "
            "have earned more than"}[found.verdict]  # fmt: skip
    dr, earned = found.estimates["dr"], found.logged
    return (
        f"{project}: {version} {said} the served policy: {dr.value:.4g} an episode (95% interval {dr.low:.4g} to "
        f"{dr.high:.4g}) against {earned.value:.4g} ({earned.low:.4g} to {earned.high:.4g}), by {episodes}."
    )


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _effective(weights: np.ndarray) -> float:
    return float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300))


def _grid(values: np.ndarray, logged: Logged, steps: np.ndarray, beyond: float | bool) -> np.ndarray:
    """[m] -> [n, t], with `beyond` after an episode's end"""
    grid = np.full((int(logged.episodes[-1]) + 1, int(steps.max()) + 1), beyond)
    grid[logged.episodes, steps] = values
    return grid


def _model(logged: Logged) -> tuple[np.ndarray, np.ndarray]:
    """The return that the other policy expects, of the action taken and of its own: [m] both.

    Fitted on the episodes of the other half, so that an episode doesn't judge itself.
    """
    m, actions = logged.target.shape
    taken = np.einsum("ma,md->mad", np.eye(actions)[logged.actions], logged.features).reshape(m, -1)
    own = np.einsum("ma,md->mad", logged.target, logged.features).reshape(m, -1)
    following = np.where(logged.last[:, None], 0.0, np.roll(own, -1, axis=0))
    q, v = np.zeros(m), np.zeros(m)
    for half in (0, 1):
        fit, use = logged.episodes % 2 != half, logged.episodes % 2 == half
        # Least squares of Q(s, a) = r + V(s'), solved at once (Lagoudakis and Parr, 2003, LSTDQ).
        matrix = taken[fit].T @ (taken[fit] - following[fit]) + RIDGE * len(taken) * np.eye(taken.shape[1])
        weights = np.linalg.lstsq(matrix, taken[fit].T @ logged.rewards[fit], rcond=None)[0]
        q[use], v[use] = taken[use] @ weights, own[use] @ weights
    return q, v
