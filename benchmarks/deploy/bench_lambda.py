"""python -m benchmarks.deploy.bench_lambda: the Lambda function under AWS's own runtime client, cold and warm.

One project per function. Cold is from the start of the process to the response to its first event; what AWS adds before
(fetching the image, starting the machine) can't be measured here. Initialisation is the part until the function
requests that event: AWS allows 10 s.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from tests.standins.aws.aws_lambda.runtime import Function

STARTS, CALLS = 10, 200


def main() -> None:
    print(f"{machine.line()}; medians of {STARTS} starts, {CALLS} calls\n")
    print("| project | initialisation, s | cold, s | warm p50, ms | warm p99, ms |\n| --- | --- | --- | --- | --- |")
    for bundle in sorted(Path("artifacts").resolve().glob("*/bundle")):
        project = bundle.parent.name
        example = json.loads((bundle / "example.json").read_text())
        event = request(f"/models/{project}/predict", json.dumps({"inputs": example[:1]}))
        inits, colds, warm = [], [], []
        for start in range(STARTS):
            with tempfile.TemporaryDirectory() as root, function_of(bundle, Path(root)) as function:
                answer = function.invoke(event)
                assert answer["statusCode"] == 200, answer
                colds.append(time.perf_counter() - function.started)
                inits.append(function.initialised)
                warm += [call(function, event) for _ in range(CALLS if start == 0 else 0)]
        ordered = sorted(warm)
        p50, p99 = statistics.median(ordered), ordered[int(0.99 * len(ordered))]
        cold = f"{statistics.median(inits):.2f} | {statistics.median(colds):.2f}"
        print(f"| {project} | {cold} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} |", flush=True)


def function_of(bundle: Path, root: Path) -> Function:
    (root / "artifacts").mkdir()
    (root / "artifacts" / bundle.parent.name).symlink_to(bundle.parent)
    return Function(root)


def request(path: str, body: str) -> dict[str, object]:
    """An event of API Gateway's HTTP API."""
    http = {"method": "POST", "path": path, "sourceIp": "203.0.113.7"}
    context = {"http": http, "stage": "$default"}
    headers = {"content-type": "application/json"}
    return {"version": "2.0", "rawPath": path, "headers": headers, "requestContext": context, "body": body}


def call(function: Function, event: dict[str, object]) -> float:
    begun = time.perf_counter()
    function.invoke(event)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
