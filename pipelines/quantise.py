"""Other precisions of the trained bundle, as candidates for the gate. Nothing is trained.

    python -m pipelines.quantise project=cifar10                           all precisions
    python -m pipelines.quantise project=cifar10 precision=int8_static     this one
    python -m pipelines.register project=cifar10 candidate=int8_static     before the gate of the registry

Each is a bundle in artifacts/<project>/candidates/<precision>/, with the files that `evaluate` writes, and is compared
with the fp32 bundle on the same test rows and requests. candidates/index.html shows the precisions side by side and how
much each layer loses; candidates/results.json has the same figures.
"""

import json
import shutil
from datetime import date
from typing import get_args

import numpy as np
import onnxruntime

from pipelines.evaluate import evaluate_bundle
from pipelines.register import Rival, compare, scores
from roadmap.bundle import Bundle, load_predictor
from roadmap.config.schema import Run
from roadmap.config.settings import Precision
from roadmap.config.stage import stage
from roadmap.evaluation.evaluated import require_fit
from roadmap.evaluation.paired import paired_test
from roadmap.evaluation.results import read_metrics
from roadmap.evaluation.scores import Score
from roadmap.evaluation.speed import CALLERS, Timed, side_by_side
from roadmap.io.atomic import atomic_folder, write_atomically
from roadmap.io.errors import UsageError
from roadmap.monitoring.reference import FILE
from roadmap.monitoring.reference.observe import build_reference
from roadmap.project import Project, Request, load_project
from roadmap.promotion.gate import TEST, decision_record
from roadmap.quantisation.bundles import chosen_layers, quantised, require_fp32
from roadmap.quantisation.calibration import runs_of, training_requests
from roadmap.quantisation.graphs import OPERATORS, prepared
from roadmap.quantisation.page import Result, render
from roadmap.quantisation.sensitivity import Sensitivity, sensitivities

FP32: Precision = "fp32"
FILES = ("train.json", "history.csv", "baselines.json")  # of the training, which the candidates share


@stage
def main(run: Run) -> None:
    bundle = Bundle(run.home / "bundle")
    require_fp32(bundle)
    require_fit(bundle, run.data)
    bundle.require_same_code()
    project = load_project(run.name)
    asked = run.precision or run.settings.export.precision
    wanted: list[Precision] = [one for one in get_args(Precision) if one != FP32] if asked == FP32 else [asked]
    calibration = training_requests(project, run.data, run.settings.export.rows, run.seed)
    verdicts: dict[Precision, str] = {}
    for precision in wanted:
        try:
            verdicts[precision] = candidate(run, project, bundle, precision, calibration)
        except UsageError as error:
            if len(wanted) == 1:
                raise
            print(f"{precision}: {error}")
    results = measured(run, project, bundle, verdicts)
    found: dict[str, list[Sensitivity]] = {
        one: layers_of(run, bundle, one, calibration) for one in verdicts if one in OPERATORS
    }
    about = (
        f"bundle {bundle.manifest.version} of {bundle.manifest.source} ({bundle.manifest.profile}), {date.today()}, "
        f"ONNX Runtime {onnxruntime.__version__}, one thread; at load: {CALLERS} callers at once"
    )
    headline = read_metrics(run.home)["headline"]["name"]
    folder = run.home / "candidates"
    write_atomically(folder / "results.json", json.dumps([one.row() for one in results], indent=2) + "\n")
    write_atomically(folder / "index.html", render(run.name, headline, results, found, about))
    print(f"{folder}/index.html")


def candidate(run: Run, project: Project, bundle: Bundle, precision: Precision, calibration: list[Request]) -> str:
    """Makes and evaluates one; returns the gate's verdict, with the fp32 bundle as champion."""
    mine = run.model_copy(update={"candidate": precision})
    export = run.settings.export.model_copy(update={"precision": precision})

    def observe(one: Bundle) -> dict[str, str]:
        return {FILE: build_reference(project, run.data, one).model_dump_json() + "\n"}

    with atomic_folder(mine.artifacts) as draft:
        quantised(bundle, draft / "bundle", export, calibration, observe)
        for name in FILES:
            shutil.copyfile(run.home / name, draft / name)
    evaluate_bundle(mine)
    rival = Rival(f"{bundle.manifest.version} (fp32)", bundle.manifest.profile, bundle)
    checks = compare(mine, Bundle(mine.artifacts / "bundle"), rival, read_metrics(mine.artifacts))
    print(f"{precision}: {decision_record(run.name, checks)['summary'].partition(': ')[2]}")
    failed = [check for check in checks if not check.passed]
    reasons = "; ".join(check.reason for check in failed or checks if failed or check.name == "precision")
    return f"{'refused' if failed else 'promoted'}: {reasons}"


def measured(run: Run, project: Project, bundle: Bundle, verdicts: dict[Precision, str]) -> list[Result]:
    """fp32 first."""
    bundles = {FP32: bundle, **{one: Bundle(run.home / "candidates" / one / "bundle") for one in verdicts}}
    requests, targets = project.data.test_rows(run.data)
    times = side_by_side({name: load_predictor(one) for name, one in bundles.items()}, requests)
    found = {name: scores(project.evaluation, one, {TEST: (requests, targets)})[TEST] for name, one in bundles.items()}
    return [
        result(name, found[name], found[FP32], times[name], one, verdicts.get(name, "the champion here"), run.seed)
        for name, one in bundles.items()
    ]


def result(
    precision: Precision, score: Score, fp32: Score, times: Timed, bundle: Bundle, verdict: str, seed: int
) -> Result:
    gain, loss = paired_test(score, fp32, seed), paired_test(fp32, score, seed)
    size = sum((bundle.folder / name).stat().st_size for name in bundle.manifest.files) / 1e6
    alone, load = (np.percentile(each, [50, 99]).tolist() for each in (times.alone, times.load))
    return Result(
        precision,
        score.value,
        gain.value,
        gain.low(0.025),
        -loss.low(0.025),
        alone[0],
        alone[1],
        load[0],
        load[1],
        size,
        verdict,
    )


def layers_of(run: Run, bundle: Bundle, precision: Precision, calibration: list[Request]) -> list[Sensitivity]:
    export = run.settings.export.model_copy(update={"precision": precision, "keep": ()})
    graphs = {path.name: prepared(path, precision) for path in sorted(bundle.folder.glob("*.onnx"))}
    chosen, feeds = chosen_layers(bundle.folder, graphs, export), runs_of(bundle, calibration)
    return [
        one
        for file, graph in graphs.items()
        for one in sensitivities(file, graph, precision, chosen[file], feeds[file])
    ]


if __name__ == "__main__":
    main()
