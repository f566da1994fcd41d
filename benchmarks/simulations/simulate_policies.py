"""Error rates of the gate for policies: python -m benchmarks.simulations.simulate_policies

Episodes last 500 steps or end by a fall after 20 to 499 of them, all alike. On the same starts two policies fall
together more often than by chance: half of a fall's cause is the start. `roadmap.promotion.gate.evaluate_gate` decides.

lucky      a policy by itself, of a known true mean return: how often the floor of 475 is passed, as the mean comes,
           with `confidence: 0.95`, and with the `worst_tenth` of 400 besides
compared   against a champion of 475: how often a candidate is promoted, by what it truly gains

Prints two tables in Markdown. No policy is trained; NumPy's generator, seed 0; 200 bootstrap samples, so that it takes
minutes. Exit code 1 if a worse policy is promoted in significantly more than 5% of the cases with 100 episodes or more.
"""

import sys
import time

import numpy as np
from scipy import stats

from benchmarks import machine
from roadmap.config.limits import GateSettings
from roadmap.evaluation import scores
from roadmap.evaluation.scores import Score
from roadmap.promotion.gate import Candidate, Champion, evaluate_gate

RUNS, FLOOR, WHOLE, LEAST = 400, 475.0, 500.0, 20.0
EPISODES = (20, 50, 100, 280)
TRUE = (450, 460, 470, 480, 490, 500)
GAINS = (-20, -10, 0, 5, 10, 15, 20)
PLAIN = GateSettings(floor=FLOOR, maximum_regression=10, latency_ms=1, size_mb=1)
SURE = PLAIN.model_copy(update={"confidence": 0.95})
SETTINGS = {"the mean": PLAIN, "confidence": SURE, "worst tenth too": SURE.model_copy(update={"worst_tenth": 400.0})}


def returns(rng: np.random.Generator, mean: float, starts: np.ndarray) -> Score:
    """Episodes of a policy. mean: its true one; starts: how hard each is, standard normal [n]"""
    falls = (WHOLE - mean) / (WHOLE - (LEAST + WHOLE - 1) / 2)
    cause = np.sqrt(0.5) * starts + np.sqrt(0.5) * rng.normal(size=len(starts))
    fell = cause < (stats.norm.ppf(falls) if falls > 0 else -np.inf)
    lengths = np.where(fell, rng.integers(int(LEAST), int(WHOLE), len(starts)), WHOLE)
    return Score("mean_return", True, lengths.astype(float), {})


def passed(score: Score, champion: Score | None, settings: GateSettings, seed: int, ignore: str) -> bool:
    present = Champion("1", "sample", {"test": champion}) if champion else None
    checks = evaluate_gate(Candidate("sample", {"test": score}, 0.1, 1), present, settings, seed)
    return all(check.passed for check in checks if check.name != ignore)


def alone(mean: float, episodes: int, runs: int) -> dict[str, float]:
    """How often a policy passes, by settings."""
    rng, found = np.random.default_rng(0), dict.fromkeys(SETTINGS, 0)
    for run in range(runs):
        score = returns(rng, mean, rng.normal(size=episodes))
        for name, settings in SETTINGS.items():
            found[name] += passed(score, None, settings, run, "")
    return {name: count / runs for name, count in found.items()}


def compared(gain: float, episodes: int, runs: int) -> float:
    """How often a candidate is promoted against a champion of FLOOR."""
    rng, count = np.random.default_rng(0), 0
    for run in range(runs):
        starts = rng.normal(size=episodes)
        old, new = (returns(rng, mean, starts) for mean in (FLOOR, FLOOR + gain))
        count += passed(new, old, PLAIN, run, "floor")
    return count / runs


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> int:
    started, scores.RESAMPLES, most = time.process_time(), 200, 0.0
    row("passed, by the true mean return (floor 475)", *TRUE)
    row(*["---"] * (len(TRUE) + 1))
    for episodes in EPISODES:
        found = [alone(mean, episodes, RUNS) for mean in TRUE]
        for name in SETTINGS:
            row(f"{episodes} episodes, {name}", *(f"{one[name]:.1%}" for one in found))
        if episodes >= 100:
            most = max(most, *(one["confidence"] for one, mean in zip(found, TRUE, strict=True) if mean < FLOOR))
    print()
    row("promoted, by what is truly gained over 475", *(f"{gain:+d}" if gain else "0" for gain in GAINS))
    row(*["---"] * (len(GAINS) + 1))
    for episodes in EPISODES:
        shares = [compared(gain, episodes, RUNS) for gain in GAINS]
        row(f"{episodes} episodes", *(f"{share:.1%}" for share in shares))
        if episodes >= 100:
            most = max(most, *(share for share, gain in zip(shares, GAINS, strict=True) if gain <= 0))
    print(f"\n{RUNS} simulated policies each; {machine.line()}; {time.process_time() - started:.0f} CPU-s")
    return int(most > 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS))


if __name__ == "__main__":
    sys.exit(main())
