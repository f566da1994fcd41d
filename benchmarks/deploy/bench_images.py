"""What the images add to their base; how soon the serving image responds.

    python -m benchmarks.deploy.bench_images [artifacts]

From `docker run` to the first healthy response, and to the first prediction of mnist's example, on a read-only file
system. The same image with `true` as its command shows the engine's part. Needs Docker or Podman, the images (`python
-m infra.images build`) and a bundle of mnist.
"""

import json
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine
from benchmarks.process import free_port
from infra import images

IMAGE = "roadmap/serving:latest"
PROJECT = "mnist"
GOAL = 180e6  # bytes
ROUNDS = 10
CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def ask(url: str, content: object = None) -> bool:
    """Whether it responds; to a POST of the content as JSON, if there is some."""
    body = None if content is None else json.dumps(content).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=5):
            return True
    except OSError:
        return False


def until(answers: Callable[[], bool], patience: float = 60.0) -> float:
    """The time (`perf_counter`, seconds) of the first answer.

    Raises:
        SystemExit: there is none in `patience` seconds.
    """
    end = time.perf_counter() + patience
    while not answers():
        if time.perf_counter() > end:
            raise SystemExit(f"no response within {patience:.0f} s")
        time.sleep(0.005)
    return time.perf_counter()


def start(engine: str, artifacts: Path) -> tuple[float, float]:
    """Seconds until it is healthy, and until it has predicted."""
    port, name = free_port(), f"bench-{uuid.uuid4().hex[:8]}"
    example = json.loads((artifacts / PROJECT / "bundle" / "example.json").read_text())
    place = ["-v", f"{artifacts / PROJECT}:/opt/roadmap/artifacts/{PROJECT}:ro", "-p", f"127.0.0.1:{port}:8000"]
    begun = time.perf_counter()
    subprocess.run(
        [engine, "run", "-d", "--name", name, *CONFINED, *place, IMAGE], check=True, stdout=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        healthy = until(lambda: ask(f"{url}/health"))
        predicted = until(lambda: ask(f"{url}/models/{PROJECT}/predict", {"inputs": example[:1]}))
    finally:
        subprocess.run([engine, "rm", "-f", name], check=True, stdout=subprocess.DEVNULL)
    return healthy - begun, predicted - begun


def nothing(engine: str) -> float:
    """Seconds of the engine's own part."""
    begun = time.perf_counter()
    subprocess.run([engine, "run", "--rm", *CONFINED, "--entrypoint", "true", IMAGE], check=True)
    return time.perf_counter() - begun


def main() -> int:
    artifacts = Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts").resolve()
    try:
        engine = images.engine()
        base = images.size(images.base())
        added = images.size(IMAGE) - base
    except images.ImageError as error:
        print(f"not measured: {error}")
        return 0
    print(f"{machine.line()}; {engine}; {images.base()} has {base / 1e6:.0f} MB; medians of {ROUNDS} starts\n")
    print("| image | MB on the base |\n| --- | --- |")
    for image in images.IMAGES:
        try:
            print(f"| {image} | {(images.size(f'roadmap/{image}:latest') - base) / 1e6:,.1f} |")
        except images.ImageError:
            print(f"| {image} | not built |")
    start(engine, artifacts)  # warms the page cache
    starts = [start(engine, artifacts) for _ in range(ROUNDS)]
    rows = {
        "healthy": [healthy for healthy, _ in starts],
        "first prediction": [predicted for _, predicted in starts],
        "`true` in the same image": [nothing(engine) for _ in range(ROUNDS)],
    }
    print("\n| from `run` to | median, s | slowest, s |\n| --- | --- | --- |")
    for name, seconds in rows.items():
        print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |")
    return int(added > GOAL)


if __name__ == "__main__":
    sys.exit(main())
