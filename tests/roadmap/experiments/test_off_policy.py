"""roadmap/experiments/off_policy.py against what can be known exactly."""

from dataclasses import replace

import numpy as np
import pytest

from roadmap.experiments.off_policy import LEAST, Logged, estimate, sentence

STATES, LIMIT, SLIP = 7, 10, 0.2  # a corridor: 1 at its right end, 0.3 at its left


def walks(policy: float, n: int, seed: int) -> tuple[np.ndarray, ...]:
    """n walks that choose to go right with this chance -> episodes, states, actions, rewards: [m] each."""
    rng = np.random.default_rng(seed)
    now, alive, rows = np.full(n, STATES // 2), np.ones(n, bool), []
    for step in range(LIMIT):
        action = (rng.random(n) < policy).astype(int)
        then = now + np.where(rng.random(n) < SLIP, 1 - action, action) * 2 - 1
        reward = np.select([then == STATES - 1, then == 0], [1.0, 0.3])
        who = np.flatnonzero(alive)
        rows.append(np.column_stack([who, np.full(len(who), step), now[who], action[who], reward[who]]))
        now, alive = np.where(alive, then, now), alive & (then > 0) & (then < STATES - 1)
    whole = np.concatenate(rows)
    whole = whole[np.lexsort((whole[:, 1], whole[:, 0]))]
    return whole[:, 0].astype(int), whole[:, 2].astype(int), whole[:, 3].astype(int), whole[:, 4]


def log(served: float, asked: float, n: int, seed: int) -> Logged:
    """served, asked: chances of going right, of the policy that was served and of the one in question"""
    episodes, states, actions, rewards = walks(served, n, seed)
    behaviour = np.where(actions == 1, served, 1 - served)
    target = np.tile([1 - asked, asked], (len(states), 1))
    return Logged(episodes, np.eye(STATES)[states], actions, rewards, behaviour, target)


def truth(asked: float) -> float:
    """Exactly, by the chances of being in each state."""
    right = asked * (1 - SLIP) + (1 - asked) * SLIP
    where, earned = np.eye(STATES)[STATES // 2], 0.0
    for _ in range(LIMIT):
        inner = where[1:-1]
        after = np.zeros(STATES)
        after[2:] += right * inner
        after[:-2] += (1 - right) * inner
        earned += after[-1] + 0.3 * after[0]
        where = after
        where[[0, -1]] = 0
    return earned


def test_of_the_policy_that_was_served_all_say_its_mean_return() -> None:
    found = estimate(log(0.6, 0.6, 200, seed=2), seed=0)
    assert found.effective == pytest.approx(200)
    for name in ("ips", "snips"):
        assert found.estimates[name].value == pytest.approx(found.logged.value)
    assert found.estimates["dr"].value == pytest.approx(truth(0.6), abs=0.08)
    assert found.verdict == "open"
    assert "may or may not have earned more than" in sentence("control", "abc", found)


def test_a_better_and_a_worse_policy_are_told_before_they_are_let_loose() -> None:
    better, worse = (estimate(log(0.5, asked, 2000, seed=2), seed=0) for asked in (0.8, 0.2))
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert "abc would have earned more than the served policy" in sentence("control", "abc", better)
    for found, asked in ((better, 0.8), (worse, 0.2)):
        for one in found.estimates.values():
            assert one.value == pytest.approx(truth(asked), abs=0.08)


def test_episodes_that_never_come_to_where_the_policies_differ_tell_nothing() -> None:
    """Only beside the left end the other policy turns around: few walks get there, and it is seldom done."""
    served = log(0.95, 0.95, 400, seed=4)
    target = served.target.copy()
    target[served.features[:, 2] == 1] = [1.0, 0.0]
    found = estimate(replace(served, target=target), seed=0)
    assert found.effective < LEAST and found.verdict == "silent"


def test_a_log_that_never_did_it_cannot_say() -> None:
    found = estimate(log(0.05, 0.95, 300, seed=3), seed=0)
    assert found.effective < LEAST and found.verdict == "silent"
    assert "the log cannot say what abc would have earned" in sentence("control", "abc", found)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="found 1 episodes; expected at least 2"):
        estimate(log(0.5, 0.5, 1, seed=0), seed=0)
    one = log(0.5, 0.5, 5, seed=0)
    with pytest.raises(ValueError, match="chance was 0"):
        estimate(replace(one, behaviour=np.zeros(len(one.actions))), seed=0)


@pytest.mark.slow
def test_over_200_logs_the_estimates_are_right_and_so_are_their_intervals() -> None:
    """Bias within two standard errors or a hundredth, coverage of a nominal 95%, and which one errs least."""
    exact = truth(0.75)
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in ("ips", "snips", "dr")}
    for seed in range(200):
        for name, one in estimate(log(0.5, 0.75, 300, seed=100 + seed), seed).estimates.items():
            found[name].append((one.value - exact, one.low <= exact <= one.high))
    errors = {name: np.array([error for error, _ in rows]) for name, rows in found.items()}
    for name, each in errors.items():
        assert abs(each.mean()) < max(0.01, 2 * each.std() / np.sqrt(len(each))), name
        assert 0.88 < np.mean([inside for _, inside in found[name]]) <= 1.0, name
    assert errors["dr"].std() < errors["snips"].std() < errors["ips"].std()


@pytest.mark.slow
def test_over_200_logs_an_equal_policy_is_seldom_called_better_or_worse() -> None:
    verdicts = [estimate(log(0.6, 0.6, 200, seed), seed).verdict for seed in range(200)]
    assert verdicts.count("open") >= 0.9 * 200
