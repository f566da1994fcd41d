"""The full stocks run over several seeds, for each network, against the best baseline of each horizon.

The intervals are those served for two years of closes, and the uncorrected ones for one year.

    DATA_MIRROR=<folder> python -m benchmarks.training.bench_stocks --seeds 5

Also the served predictor's forecasts per second for both, one by one and in batches.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from pipelines.stocks.data import Data
from pipelines.stocks.evaluate import log_returns
from pipelines.stocks.evaluate.forecasts import inside
from pipelines.stocks.predict import COUNT
from pipelines.stocks.predict.features import HISTORY, HORIZONS
from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.project import Request

ROOT = Path(__file__).parents[2]
NETWORKS = {
    "LSTM": (),
    "TCN": ("projects.stocks.model._target_=models.stocks.TCN",),
    "LSTM, direction": ("projects.stocks.model.direction=true",),
}
WITHOUT_VARIANTS = ("~projects.stocks.variants.tcn", "~projects.stocks.variants.direction")


def stage(folder: Path, name: str, *overrides: str) -> None:
    command = [sys.executable, "-m", f"pipelines.{name}", "project=stocks", "profile=full", *overrides]
    environment = {**os.environ, "TRACKING": "none"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    args = parser.parse_args()
    print(machine.line())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("models", "pipelines", "serving", "params.yaml"):
            (folder / name).symlink_to(ROOT / name)
        stage(folder, "prepare")
        stage(folder, "baselines")
        rows = json.loads((folder / "artifacts/stocks/baselines.json").read_text())
        best = {days: min(rows, key=lambda row: row[f"pinball_{days}d"]) for days in HORIZONS}
        print("best baseline:", *(f"{days}d {row['name']} {row[f'pinball_{days}d']:.4f}" for days, row in best.items()))
        print("| network | seed | loss against it, 1 / 5 / 20 days | 80% interval | 95% interval | 80%, uncorrected |")
        print("| --- | --- | --- | --- | --- | --- |")
        for network in args.networks:
            for seed in range(args.seeds):
                stage(folder, "train", f"seed={seed}", *WITHOUT_VARIANTS, *NETWORKS[network])
                stage(folder, "evaluate", f"seed={seed}")
                found = json.loads((folder / "artifacts/stocks/metrics.json").read_text())["metrics"]
                losses = [found[f"pinball_{days}d"] / best[days][f"pinball_{days}d"] - 1 for days in HORIZONS]
                shares = [[found[f"{name}_{days}d"] for days in HORIZONS] for name in ("coverage80", "coverage95")]
                shares.append(uncorrected(folder))
                coverage = [" / ".join(f"{100 * share:.1f}" for share in row) for row in shares]
                lost = " / ".join(f"{100 * loss:+.1f}%" for loss in losses)
                print("|", " | ".join([network, str(seed), lost, *coverage]), "|", flush=True)
        speed(folder)


def uncorrected(folder: Path) -> list[float]:
    """Coverage of the 80% interval for requests with one year of closes."""
    requests, targets = Data().test_rows(folder / "data/stocks")
    outputs = predict_in_batches(load_predictor(Bundle(folder / "artifacts/stocks/bundle")), years(requests, HISTORY))
    shares: list[float] = inside(targets["y"], log_returns(targets, outputs), 80).mean(axis=0).tolist()
    return shares


def years(requests: list[Request], closes: int) -> list[Request]:
    """The requests with their latest closes only."""
    return [{**request, "close": request["close"][-closes:]} for request in requests]


def speed(folder: Path) -> None:
    predictor = load_predictor(Bundle(folder / "artifacts/stocks/bundle"))
    every, _ = Data().test_rows(folder / "data/stocks")
    for closes in (HISTORY, COUNT):
        requests = years(every, closes)
        predict_in_batches(predictor, requests[:256])
        for batch, rows in ((1, 500), (64, 2560), (256, 2560)):
            started = time.perf_counter()
            for start in range(0, rows, batch):
                chunk = requests[start : start + batch]
                predictor.predict([predictor.Request.model_validate(request) for request in chunk])
            rate = rows / (time.perf_counter() - started)
            print(f"{closes} closes, batches of {batch}: {rate:,.0f} forecasts a second")


if __name__ == "__main__":
    main()
