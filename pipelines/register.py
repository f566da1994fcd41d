"""Stage 6, register: the bundle into MLflow's registry; `champion` moves to it only if the gate passes.

    python -m pipelines.register project=mnist                  judge the present bundle
    python -m pipelines.register project=mnist rollback=true    give `champion` back to the version before

A store that was down or has been lost is made whole from artifacts/<project>/, without training again.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.common import registry, splits
from pipelines.common.config import Run, UsageError
from pipelines.common.evaluation import answer
from pipelines.common.gate import Champion, Check, judge, verdict
from pipelines.common.stage import stage
from pipelines.common.tracking import connect, ensure_run, experiment_id, publish, root
from serving.bundle import Bundle, load_predictor


@stage
def main(run: Run) -> None:
    if not run.tracking["enabled"]:
        if run.rollback:
            raise UsageError("rollback needs the registry: run it with tracking=mlflow")
        decide(run, verdict(run.name, [Check("registry", False, "tracking=none: nothing is registered")]))
        return
    client = connect()
    if run.rollback:
        before, after = registry.rollback(client, run.name)
        keep_champion(run, registry.bundle_of(run.name, after))
        registry.log_promotion(home(run) / "promotions.jsonl", event="rollback", champion=after, replaced=before)
        print(f"{run.name}: champion is version {after} again (was {before})")
        return
    bundle = Bundle(run.artifacts / "bundle")
    restore_champion(run, client)
    run_id = publish(client, run)
    version = registry.registered(client, run.name, bundle) or registry.log_version(client, run_id, bundle)
    champion = registry.champion(client, run.name)
    if champion is not None and champion.version == version.version:
        checks = [Check("champion", True, f"version {version.version} is the champion already")]
    else:
        checks = compare(run, bundle, champion)
    decision = {
        **verdict(run.name, checks),
        "version": version.version,
        "bundle": bundle.manifest.version,
        "mlflow": {"experiment": experiment_id(client, run.name), "run": run_id},
    }
    if decision["promoted"]:
        registry.promote(client, run.name, version)
        keep_champion(run, bundle)
    client.set_model_version_tag(run.name, version.version, "decision", decision["summary"][:4000])
    decide(run, decision, replaced=champion.version if champion else None)


def compare(run: Run, bundle: Bundle, champion: Any) -> list[Check]:
    """The gate's checks for a candidate, with both models answering the same test rows."""
    evaluation = run.module("evaluate")
    requests, targets = evaluation.test_rows(run.data)
    score = evaluation.score(targets, answer(load_predictor(bundle), requests))
    latency = json.loads((run.artifacts / "metrics.json").read_text())["latency"]["batch_1"]["p95_ms"]
    present = None
    if champion is not None:
        try:
            outputs = answer(load_predictor(registry.bundle_of(run.name, champion.version)), requests)
            champion_score = evaluation.score(targets, outputs)
        except ValidationError:  # its requests have other columns, or images of another size
            champion_score = None
        present = Champion(champion.version, champion.tags.get("profile", "sample"), champion_score)
    return judge(score, run.profile, latency, present, run.project.gate, run.seed)


def home(run: Run) -> Path:
    """The project's artifacts in the checkout itself: a queued experiment works in a folder that is thrown away."""
    return root() / run.artifacts


def keep_champion(run: Run, bundle: Bundle) -> None:
    """A copy of the champion beside the artifacts, from which a lost store is restored."""
    with splits.replacing(home(run) / "champion") as draft:
        shutil.copytree(bundle.folder, draft, dirs_exist_ok=True)


def restore_champion(run: Run, client: Any) -> None:
    """In a fresh or lost store the champion that was kept comes first, so that the gate has whom to compare with."""
    kept = home(run) / "champion"
    if registry.champion(client, run.name) is not None or not kept.exists():
        return
    champion = Bundle(kept)
    print(f"{run.name}: the store at hand has no champion; restoring version {champion.manifest.version} from {kept}")
    run_id = ensure_run(client, run, champion.manifest.run, champion.manifest.model_dump())
    version = registry.registered(client, run.name, champion) or registry.log_version(client, run_id, champion)
    registry.promote(client, run.name, version)
    registry.log_promotion(home(run) / "promotions.jsonl", event="restored", champion=version.version)


def decide(run: Run, decision: dict[str, Any], replaced: str | None = None) -> None:
    (run.artifacts / "decision.json").write_text(json.dumps(decision, indent=2) + "\n")
    event = "promoted" if decision["promoted"] else "refused"
    registry.log_promotion(home(run) / "promotions.jsonl", event=event, replaced=replaced, **decision)
    print(decision["summary"])


if __name__ == "__main__":
    main()
