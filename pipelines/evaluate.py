"""Stage 5, evaluate: the bundle through its Predictor -> artifacts/<project>/metrics.json and plots/.

python -m pipelines.evaluate project=mnist candidate=int8_static      the same of a bundle in candidates/
"""

import json
import time
from pathlib import Path

from roadmap.bundle import Bundle
from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.evaluation import behavioural as behaviour
from roadmap.evaluation import slices
from roadmap.evaluation.evaluated import EvaluatedModel, evaluate, latency
from roadmap.evaluation.results import Trained
from roadmap.evaluation.scores import Score
from roadmap.io.atomic import atomic_folder
from roadmap.io.documents import read_json
from roadmap.project import Figures, load_project
from roadmap.tracking.tracker import Tracker


@stage
def main(run: Run) -> None:
    tracker = Tracker(run)
    evaluate_bundle(run)
    tracker.publish()


def evaluate_bundle(run: Run) -> None:
    """Writes metrics.json and plots/ beside the bundle."""
    started = time.perf_counter()
    project = load_project(run.name)
    evaluation = project.evaluation
    trained = read_json(run.artifacts / "train.json", Trained, f"run `dvc repro train@{run.name}`")
    requests, targets = project.data.test_rows(run.data)
    evaluated = evaluate(run.data, run.artifacts, requests, targets, evaluation.played)
    score = evaluation.score(targets, evaluated.outputs)
    low, high = score.interval(run.seed)
    parts = slices.table(score, evaluation.slices(requests, targets))
    shown = behaviour.table(project.behaviour.expectations(evaluated.predictor, requests))
    draw(run.artifacts / "plots", {**evaluation.figures(evaluated), **common_figures(evaluated, score)})
    manifest = Bundle(run.artifacts / "bundle").manifest
    metrics = {
        "headline": {
            "name": score.headline,
            "value": score.value,
            "ci95_low": low,
            "ci95_high": high,
            "higher_is_better": score.higher_is_better,
        },
        "metrics": score.metrics,
        "slices": parts,
        "behaviour": shown,
        "baselines": {
            row["name"]: {k: v for k, v in row.items() if k not in ("name", "metric")} for row in evaluated.baselines
        },
        "rows": {"test": len(targets)},
        "latency": {f"batch_{batch}": latency(evaluated.predictor, requests, batch) for batch in (1, 64)},
        "size_bytes": sum((run.artifacts / "bundle" / name).stat().st_size for name in manifest.files),
        "parameters": trained["parameters"],
        "seconds": {"train": round(trained["seconds"], 2), "evaluate": round(time.perf_counter() - started, 2)},
        "profile": manifest.profile,
        "precision": manifest.precision,
        "source": manifest.source,
        "git_commit": manifest.git_commit,
        "data_sha256": manifest.data_sha256,
        "bundle_version": manifest.version,
    }
    if groups := evaluation.fairness(requests, targets, evaluated.outputs):
        metrics["fairness"] = groups
    (run.artifacts / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"{run.name}: {score.headline} {score.value:.4f} (95% interval {low:.4f} to {high:.4f})")
    for name, one in shown.items():
        if not one["passed"]:
            print(f"  failed: {name}: {one['rate']:.1%} of {one['cases']} cases, required: {one['asked']:.1%}")


def common_figures(evaluated: EvaluatedModel, score: Score) -> Figures:
    from roadmap.evaluation import plots

    compared = {"baselines": plots.baselines(evaluated.baselines, score)} if evaluated.baselines else {}
    return {**compared, "learning_curves": plots.learning_curves(evaluated.history)}


def draw(folder: Path, figures: Figures) -> None:
    from roadmap.evaluation import plots

    with atomic_folder(folder) as draft:
        for name, figure in figures.items():
            if isinstance(figure, str):
                (draft / f"{name}.svg").write_text(figure + "\n")
            else:
                plots.save(figure, draft / f"{name}.png")


if __name__ == "__main__":
    main()
