"""python -m benchmarks.deploy.bench_lambda_memory [artifacts]: the Lambda function in its image, by memory and project.

Lambda allocates CPU in proportion to memory, one core at 1,769 MB; the container gets the same share. Cold is from
`docker run` to the response to the first event, the engine's own start included; what AWS adds can't be measured
here. Needs Docker and `python -m infra.images build serving`.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

from benchmarks import machine
from benchmarks.deploy.bench_lambda import request
from tests.standins.aws.aws_lambda.runtime import Runtime

IMAGE = "roadmap/serving:latest"
MEMORY = (512, 1024, 1769, 3008)  # MB
CORE = 1769
CALLS = 100


def main() -> None:
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode
    ):
        print(f"not measured: no Docker, or no {IMAGE} (`python -m infra.images build serving`)")
        return
    artifacts = Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts").resolve()
    print(f"{machine.line()}; one start, {CALLS} calls\n")
    print(
        "| project | MB | cold, s | warm p50, ms | warm p99, ms | in use, MB |\n| --- | --- | --- | --- | --- | --- |"
    )
    for bundle in sorted(artifacts.glob("*/bundle")):
        example = json.loads((bundle / "example.json").read_text())
        event = json.dumps(request(f"/models/{bundle.parent.name}/predict", json.dumps({"inputs": example[:1]})))
        for memory in MEMORY:
            print(measure(bundle, event.encode(), memory), flush=True)


def measure(bundle: Path, event: bytes, memory: int) -> str:
    runtime, name = Runtime(), f"bench-{uuid.uuid4().hex[:8]}"
    place = ["-v", f"{bundle.parent}:/var/task/artifacts/{bundle.parent.name}:ro", "--read-only", "--tmpfs", "/tmp"]
    limits = [f"--memory={memory}m", f"--memory-swap={memory}m", f"--cpus={memory / CORE:.3f}", "--network=host"]
    env = ["-e", f"AWS_LAMBDA_RUNTIME_API={runtime.address}", "-e", "LAMBDA_TASK_ROOT=/var/task"]
    started = time.perf_counter()
    subprocess.run(["docker", "run", "-d", "--name", name, *place, *limits, *env, IMAGE, "lambda"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        cold = ask(runtime, event, 120) and time.perf_counter() - started
        warm = sorted(timed(runtime, event) for _ in range(CALLS))
        stats = ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", name]
        used = subprocess.run(stats, check=True, capture_output=True, text=True).stdout.partition("/")[0].strip()
    finally:
        subprocess.run(["docker", "rm", "-f", name], stdout=subprocess.DEVNULL, check=True)
        runtime.shutdown()
    p50, p99 = statistics.median(warm), warm[int(0.99 * CALLS) - 1]
    times = f"{cold:.2f} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f}"
    return f"| {bundle.parent.name} | {memory:,} | {times} | {float(used.removesuffix('MiB')):.0f} |"


def ask(runtime: Runtime, event: bytes, patience: float = 30) -> bool:
    runtime.events.put((uuid.uuid4().hex, event))
    kind, answer = runtime.answers.get(timeout=patience)
    assert kind == "response" and answer["content"]["statusCode"] == 200, answer
    return True


def timed(runtime: Runtime, event: bytes) -> float:
    begun = time.perf_counter()
    ask(runtime, event)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
