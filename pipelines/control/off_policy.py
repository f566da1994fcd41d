"""What a policy would have earned, by the prediction log of another one, before it is let loose.

    python -m pipelines.control.off_policy rewards=rewards.csv [log=...] [bundle=artifacts/control/bundle]

The log needs requests with `explore` above 0, `episode` and `step`; rewards.csv has the columns episode, step, reward.
Writes artifacts/control/monitoring/off_policy.json, and the A/B page, which the server shows at /compare/control. Exit
code 0 whatever the verdict:

    better, worse   its interval lies above or below that of the policy that was served
    open            neither
    silent          too few episodes agree with the policy in question: explore more, or ask about one nearer to it
"""

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pipelines.control.predict import Predictor, Response
from roadmap.bundle import Bundle, read_manifest
from roadmap.data import csv_table
from roadmap.experiments.off_policy import LEAST, Logged, OffPolicy, estimate, sentence
from roadmap.io import command_line
from roadmap.io.atomic import write_atomically
from roadmap.io.documents import read_json
from roadmap.io.errors import Unavailable, UsageError
from roadmap.io.json import JsonObject
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.labels import store_errors
from roadmap.prediction_log.row import PredictionRecord, content

PROJECT, COLUMNS = "control", ("episode", "step", "reward")
Key = tuple[str, int]  # episode, step


class Options(command_line.Options):
    rewards: Path = Field(description="CSV with episode, step and reward")
    log: str = Field(
        default_factory=lambda: os.environ.get("SERVING_PREDICTIONS", ""),
        description="the prediction log, a folder or a SQLAlchemy URL (SERVING_PREDICTIONS)",
    )
    bundle: Path = Field(Path("artifacts/control/bundle"), description="of the policy in question")
    days: int = Field(30, ge=1, le=3650, description="of the log, back from now")
    seed: int = Field(0, ge=0, description="of the bootstrap")


def main(options: Options) -> None:
    """
    Raises:
        UsageError: no log or rewards, or too few whole episodes in both.
        Unavailable: the log can't be read.
    """
    if not options.log:
        raise UsageError("log: missing; give log=<folder or SQLAlchemy URL> or set SERVING_PREDICTIONS")
    now = datetime.now(UTC)
    try:
        rows = list(recording.read(options.log, PROJECT, now - timedelta(days=options.days), now))
    except store_errors(options.log) as error:  # only the type: a database's message may contain its password
        raise Unavailable(f"log: unreadable ({type(error).__name__})") from None
    earned = read_rewards(options.rewards)
    predictor = Predictor(Bundle(options.bundle))
    found = estimate(logged(rows, earned, predictor), options.seed)
    asked = read_manifest(options.bundle).version
    record: JsonObject = {
        "at": now.isoformat(timespec="seconds"),
        "asked": asked,
        "verdict": found.verdict,
        "least": LEAST,
        "summary": sentence(PROJECT, asked, found),
        **asdict(found),
    }
    from roadmap.experiments.page import publish  # imports matplotlib, only if there is something to draw

    home = Path("artifacts", PROJECT)
    write_atomically(home / "monitoring" / "off_policy.json", json.dumps(record, indent=2) + "\n")
    publish(home, page_of(home, record, min(row.time for row in rows)))
    print(table(found))


def page_of(home: Path, record: JsonObject, since: datetime) -> JsonObject:
    """The A/B page of the policy in question: what it had already, if it has answered, and the estimate."""
    file = home / "monitoring" / "ab.json"
    there = dict(read_json(file, dict[str, Any], "run `python -m pipelines.ab` again")) if file.is_file() else {}
    if any(arm["version"] == record["asked"] for arm in there.get("arms", [])):
        return there | {"off_policy": record}
    return {
        "at": record["at"],
        "project": PROJECT,
        "since": since.isoformat(timespec="seconds"),
        "arms": [],
        "score": None,
        "summary": record["summary"],
        "off_policy": record,
    }


def read_rewards(path: Path) -> dict[Key, float]:
    """
    Raises:
        UsageError: it can't be read, or a row is no episode, step and finite reward.
    """
    columns = csv_table.read(path, COLUMNS, expected=COLUMNS).columns
    found: dict[Key, float] = {}
    for number, row in enumerate(zip(*(columns[name] for name in COLUMNS), strict=True), start=1):
        try:
            reward = float(row[2])
            if not np.isfinite(reward):
                raise ValueError
            found[str(row[0]), int(row[1])] = reward
        except ValueError:
            raise UsageError(
                f"{path}: row {number}: found {', '.join(map(str, row))}; expected an episode, a step and a reward"
            ) from None
    return found


def logged(rows: list[PredictionRecord], earned: dict[Key, float], predictor: Predictor) -> Logged:
    """The episodes that the log and the rewards both have whole, judged by the predictor.

    Raises:
        UsageError: there are fewer than two.
    """
    steps: dict[str, dict[int, tuple[list[float] | int, Response]]] = {}
    for row in rows:
        asked = content(row, "input")
        if asked.get("episode") is not None and asked.get("step") is not None:
            answer = Response.model_validate(content(row, "output"))
            steps.setdefault(asked["episode"], {})[asked["step"]] = asked["observation"], answer
    lengths: dict[str, int] = {}
    for episode, step in earned:
        lengths[episode] = max(lengths.get(episode, 0), step + 1)
    whole = [
        name for name, length in lengths.items()
        if set(steps.get(name, {})) == set(range(length)) and all((name, step) in earned for step in range(length))
    ]  # fmt: skip
    if len(whole) < 2:
        raise UsageError(
            f"log: found {len(whole)} whole episodes of {len(lengths)} in rewards; expected at least 2; send `episode` "
            "and `step` with each request, from 0, and give a reward for each"
        )
    moments = [(number, *steps[name][step]) for number, name in enumerate(whole) for step in range(lengths[name])]
    vectors = predictor.vectors([observation for _, observation, _ in moments])
    best = predictor.weigh(vectors)[0].argmax(axis=1)
    return Logged(
        episodes=np.array([number for number, _, _ in moments]),
        features=features(vectors.astype(np.float64), predictor.states),
        actions=np.array([answer.action for _, _, answer in moments]),
        rewards=np.array([earned[name, step] for name in whole for step in range(lengths[name])]),
        behaviour=np.array([answer.probability for _, _, answer in moments]),
        target=np.eye(len(predictor.names))[best],
    )


def features(vectors: np.ndarray, states: int | None) -> np.ndarray:
    """States as they are; numbers with a constant and their products. [m, size] -> [m, d]"""
    if states is not None:
        return vectors
    scaled = vectors / np.maximum(np.abs(vectors).max(axis=0), 1e-12)
    products = np.einsum("mi,mj->mij", scaled, scaled)[:, *np.triu_indices(vectors.shape[1])]
    return np.column_stack([np.ones(len(vectors)), scaled, products])


def table(found: OffPolicy) -> str:
    lines = [f"{found.episodes} episodes, of which {found.effective:.1f} speak of the policy in question"]
    for name, one in {"served": found.logged, **found.estimates}.items():
        lines.append(f"  {name:8s} {one.value:10.4f}  (95% interval {one.low:.4f} to {one.high:.4f})")
    return "\n".join([*lines, f"verdict: {found.verdict}"])


if __name__ == "__main__":
    sys.exit(command_line.run({"": (Options, main)}, __doc__, sys.argv[1:]))
