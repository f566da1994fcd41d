"""Stage 6, register: the bundle into MLflow's registry; `champion` moves to it only if the gate passes.

    python -m pipelines.register project=mnist                            evaluate the current bundle
    python -m pipelines.register project=mnist candidate=int8_static      a candidate of pipelines.quantise
    python -m pipelines.register project=mnist rollback=true              `champion` goes back to the previous version
    python -m pipelines.register project=mnist rollback="'4be1c0ffee12'"  or to the version with this bundle

A store that was down or lost is restored from artifacts/<project>/, without retraining.
`python -m pipelines.promotions project=mnist` prints the history of champions.
"""

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ValidationError

from roadmap.bundle import Bundle, load_predictor
from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.evaluation.evaluated import outputs_of, require_fit
from roadmap.evaluation.results import read_metrics
from roadmap.evaluation.speed import side_by_side
from roadmap.io.atomic import atomic_folder
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Evaluation, Request, load_project
from roadmap.promotion import log as promotions
from roadmap.promotion import registry
from roadmap.promotion.gate import TEST, Candidate, Champion, Check, Cost, Scores, decision_record, evaluate_gate
from roadmap.tracking.mlflow import connect, ensure_run, experiment_id, publish

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Rows = dict[str, tuple[list[Request], "np.ndarray"]]  # requests and targets by set of rows: test, recent


@stage
def main(run: Run) -> None:
    if not run.tracking.mlflow:
        if run.rollback:
            raise UsageError("rollback: found tracking=none; expected a registry; run with tracking=mlflow")
        decide(run, None, decision_record(run.name, [Check("registry", False, "tracking=none: nothing is registered")]))
        return
    client = connect()
    if run.rollback:
        roll_back(run, client)
        return
    bundle = Bundle(run.artifacts / "bundle")
    require_fit(bundle, run.data)
    bundle.require_same_code()  # the metrics are this code's, and servers run it
    metrics = read_metrics(run.artifacts)
    restore_champion(run, client)
    run_id = publish(client, run)
    version = registry.registered(client, run.name, bundle) or registry.log_version(client, run_id, bundle)
    champion = registry.champion(client, run.name)
    moves = False
    if champion is not None and champion.version == version.version:
        checks = [Check("champion", True, f"version {version.version} is already champion")]
    elif at := registry.rolled_back(client, run.name, bundle):
        reason = f"bundle {bundle.manifest.version} was rolled back at {at}; train another, or roll forward"
        checks = [Check("champion", False, f"{reason} with rollback=\"'{bundle.manifest.version}'\"")]
    else:
        checks = compare(run, bundle, Rival.of(run.name, champion) if champion else None, metrics)
        moves = all(check.passed for check in checks)
    decision = {
        **decision_record(run.name, checks),
        **({"fairness": metrics["fairness"]} if "fairness" in metrics else {}),
        "version": version.version,
        "bundle": bundle.manifest.version,
        "mlflow": {"experiment": experiment_id(client, run.name), "run": run_id},
    }
    if moves:
        registry.promote(client, run.name, version)
        keep_champion(run, bundle)
    client.set_model_version_tag(run.name, version.version, "decision", decision["summary"][:4000])
    moved = {"alias": registry.ALIAS, "replaced": champion.version if champion else None} if moves else {}
    decide(run, client, decision, **moved)


class Rival(NamedTuple):
    """What a candidate is compared with."""

    version: str
    profile: str
    bundle: Bundle

    @classmethod
    def of(cls, name: str, champion: "ModelVersion") -> "Rival":
        bundle = registry.bundle_of(name, champion.version)
        return cls(champion.version, champion.tags.get("profile", "sample"), bundle)


def compare(run: Run, bundle: Bundle, champion: Rival | None, metrics: JsonObject) -> list[Check]:
    """The gate's checks of a candidate, with both models predicting the same rows."""
    project = load_project(run.name)
    evaluation, rows = project.evaluation, {TEST: project.data.test_rows(run.data)}
    if splits.has(run.data, splits.RECENT):
        rows[splits.RECENT] = project.data.test_rows(run.data, splits.RECENT)
    candidate = Candidate(
        run.profile,
        scores(evaluation, bundle, rows),
        metrics["latency"]["batch_1"]["p95_ms"],
        metrics["size_bytes"],
        {name: evaluation.slices(*each) for name, each in rows.items()},
        metrics["behaviour"],
        cost_of(bundle, champion.bundle, rows[TEST][0]) if champion else None,
    )
    present = None
    if champion is not None:
        champion_scores: Scores | None = None
        if classes_of(champion.bundle) == classes_of(bundle):
            with suppress(ValidationError):  # other columns, or images of another size
                champion_scores = scores(evaluation, champion.bundle, rows)
        present = Champion(champion.version, champion.profile, champion_scores)
    return evaluate_gate(candidate, present, run.settings.gate, run.seed)


def cost_of(bundle: Bundle, champion: Bundle, requests: list[Request]) -> Cost | None:
    """Of the champion in another precision; None if it is another network."""
    if bundle.manifest.quantised_from != champion.manifest.version:
        return None
    times = side_by_side({"new": load_predictor(bundle), "old": load_predictor(champion)}, requests)
    ratio = times["new"].ratio(times["old"])
    sizes = [sum((one.folder / name).stat().st_size for name in one.manifest.files) for one in (bundle, champion)]
    return Cost(bundle.manifest.precision, ratio.value, ratio.low, ratio.high, sizes[0] / sizes[1])


def classes_of(bundle: Bundle) -> list[str] | None:
    """Targets are numbers of classes, which mean nothing to a model of others."""
    schema: JsonObject = bundle.json("schema.json") if "schema.json" in bundle.manifest.files else {}
    return schema.get("classes")


def scores(evaluation: Evaluation[BaseModel], bundle: Bundle, rows: Rows) -> Scores:
    predictor = load_predictor(bundle)
    return {
        name: evaluation.score(targets, outputs_of(predictor, requests, targets, evaluation.played))
        for name, (requests, targets) in rows.items()
    }


def roll_back(run: Run, client: "MlflowClient") -> None:
    before, after = registry.rollback(client, run.name, None if run.rollback is True else str(run.rollback))
    if before == after:
        print(f"{run.name}: champion is already version {after}")
        return
    keep_champion(run, registry.bundle_of(run.name, after))
    moved = {"event": "rollback", "alias": registry.ALIAS, "version": after, "replaced": before}
    promotions.log(client, run.name, promotions.file(run), **moved)
    print(f"{run.name}: champion rolled back from version {before} to {after}")


def keep_champion(run: Run, bundle: Bundle) -> None:
    """A copy of the champion among the artifacts, to restore a lost store from."""
    with atomic_folder(promotions.file(run).parent / "champion") as draft:
        shutil.copytree(bundle.folder, draft, dirs_exist_ok=True)


def restore_champion(run: Run, client: "MlflowClient") -> None:
    """Restores the champion to a fresh or lost store, so that the gate has a model to compare with."""
    kept = promotions.file(run).parent / "champion"
    if registry.champion(client, run.name) is not None or not kept.exists():
        return
    champion = Bundle(kept)
    print(f"{run.name}: the store has no champion; restoring version {champion.manifest.version} from {kept}")
    run_id = ensure_run(client, run, champion.manifest.run, champion.manifest.model_dump())
    version = registry.registered(client, run.name, champion) or registry.log_version(client, run_id, champion)
    registry.promote(client, run.name, version)
    moved = {
        "event": "restored",
        "alias": registry.ALIAS,
        "version": version.version,
        "bundle": champion.manifest.version,
    }
    promotions.log(client, run.name, promotions.file(run), **moved)


def decide(run: Run, client: "MlflowClient | None", decision: JsonObject, **moved: object) -> None:
    (run.artifacts / "decision.json").write_text(json.dumps(decision, indent=2) + "\n")
    event = "refused" if not decision["promoted"] else "promoted" if moved else "kept"
    promotions.log(client, run.name, promotions.file(run), event=event, **moved, **decision)
    print(decision["summary"])


if __name__ == "__main__":
    main()
