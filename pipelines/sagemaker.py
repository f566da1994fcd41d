"""Entry point of SageMaker's training job: `docker run <train image> train` (infra/docker/train.sh).

    /opt/ml/input/config/hyperparameters.json   keys of params.yaml, as `project`, `profile`, `projects.mnist.model.lr`
    /opt/ml/input/data/data/                    output of `prepare`, if the job has a channel of this name
    /opt/ml/checkpoints/                        kept by SageMaker when a spot instance is reclaimed
    /opt/ml/model/                              bundle/, and training/ with history.csv, train.json and metrics.json
    /opt/ml/output/failure                      reason of a failure, in one line

Without the channel it prepares, trains and evaluates; with it, it only trains, and the caller evaluates. OPT_ML
overrides the root. Exit code 0, 1 with the file `failure`, or 143 after SIGTERM; the next job resumes.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from roadmap.dependencies import code_sha256
from roadmap.io.json import JsonObject

KEYS = r"project|profile|seed|trainer|projects\.{}\.(data|model|train|variants|gate)(\.\w+)*"
REASON = 1024  # characters of the file `failure` that SageMaker shows
GRACE = 60.0  # seconds for a stage to stop; SageMaker kills after 120


class TrainingFailed(Exception):
    """The job failed; the message is one line."""


class Stopped(BaseException):
    """SIGTERM: the instance is reclaimed, or the job was stopped."""


def overrides(given: Mapping[str, str]) -> tuple[str, list[str]]:
    """The project and Hydra's overrides. A block (`{...}`) replaces that of params.yaml.

    Raises:
        TrainingFailed: an unknown hyperparameter.
    """
    values = {key: decoded(text) for key, text in given.items() if not key.startswith("sagemaker_")}  # set by the SDK
    project = values.get("project")
    if not isinstance(project, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", project):
        raise TrainingFailed(f"hyperparameter project: found {project!r}; expected a project of params.yaml")
    arguments = []
    for key, value in values.items():
        if not re.fullmatch(KEYS.format(project), key):
            allowed = f"project, profile, seed, trainer, projects.{project}.<block>.<key>"
            raise TrainingFailed(f"hyperparameter {key}: unknown key; allowed: {allowed}")
        if isinstance(value, dict):
            arguments += [f"~{key}", f"+{key}={spelt(value)}"]
        else:
            force = "++" if key.startswith("projects.") else ""  # unknown keys are for the schema to reject, not Hydra
            arguments.append(f"{force}{key}={spelt(value)}")
    return project, arguments


def decoded(text: str) -> object:
    """SageMaker passes strings; the SDK encodes JSON in them, people may not."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def spelt(value: object) -> str:
    """In Hydra's grammar."""
    if isinstance(value, str):
        return "'" + re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", value) + "'"
    if isinstance(value, list):
        return f"[{','.join(map(spelt, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{spelt(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def run_stage(name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
    """Runs `python -m pipelines.<name>` and passes its output on.

    Raises:
        TrainingFailed: with the last line of its output.
        Stopped: after the stage has stopped too.
    """
    command = [sys.executable, "-m", f"pipelines.{name}", *arguments]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    last: deque[str] = deque(maxlen=20)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            last.append(line.strip())
        code = process.wait()
    except BaseException:
        end(process)
        raise
    if code:
        message = next((line for line in reversed(last) if line.startswith("error: ")), "")
        message = message.removeprefix("error: ") or next((line for line in reversed(last) if line), "no reason given")
        died = f"killed by signal {-code}: " if code < 0 else ""
        raise TrainingFailed(f"{name}: {died}{message.replace('command line: ', 'hyperparameter ')}")


def end(process: "subprocess.Popen[str]") -> None:
    """Kills the process group: trainer=ddp starts further processes."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def train(root: Path) -> None:
    """Runs the stages and hands over their outputs. root: /opt/ml

    Raises:
        TrainingFailed: several instances, a wrong hyperparameter, other code, or a stage that failed.
        Stopped: SIGTERM arrived.
    """
    project, arguments = overrides(read(root / "input/config/hyperparameters.json"))
    hosts = read(root / "input/config/resourceconfig.json").get("hosts", [])
    if len(hosts) > 1:
        raise TrainingFailed(f"resourceconfig.json: found {len(hosts)} instances; expected one; set InstanceCount=1")
    expect_code(project)
    arguments += [f"projects.{project}.runner=local"]
    if "MLFLOW_TRACKING_URI" not in os.environ:
        arguments.append("tracking=none")
    environment = {**os.environ, "CHECKPOINTS": str(root / "checkpoints" / project)}
    data, artifacts, channel = Path("data") / project, Path("artifacts") / project, root / "input/data/data"
    if channel.is_dir():
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(channel, data)
    stages = ("train",) if channel.is_dir() else ("prepare", "baselines", "train", "evaluate")
    for name in stages:
        run_stage(name, arguments, environment)
    hand_over(artifacts, root / "model")


def expect_code(project: str) -> None:
    """Checks that the image has the same training code as the caller's checkout, if the caller sent its hash.

    Raises:
        TrainingFailed: it has other code.
    """
    wanted, network = os.environ.get("CODE_SHA256"), os.environ.get("NETWORK", "")
    try:
        found = code_sha256("train", project, network) if wanted else None
    except ModuleNotFoundError as error:
        found = error.name
    if found != wanted:
        message = f"found {found}; expected {wanted}, the checkout's"
        raise TrainingFailed(f"training code of {project} in the image: {message}; rebuild and push the image")


def read(path: Path) -> JsonObject:
    """The object in a JSON file, {} if there is none.

    Raises:
        TrainingFailed: no JSON, or no object.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TrainingFailed(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise TrainingFailed(f"{path}: found {type(content).__name__}; expected an object")
    return content


def hand_over(artifacts: Path, model: Path) -> None:
    """Copies the outputs that become model.tar.gz: the bundle for endpoints, the rest for the caller."""
    shutil.copytree(artifacts / "bundle", model / "bundle", dirs_exist_ok=True)
    (model / "training").mkdir(exist_ok=True)
    for name in ("history.csv", "train.json", "metrics.json"):
        if (artifacts / name).exists():
            shutil.copy2(artifacts / name, model / "training" / name)
    if (artifacts / "metrics.json").exists():
        headline = json.loads((artifacts / "metrics.json").read_text())["headline"]
        print(
            f"test {headline['name']} {headline['value']:.6g}", flush=True
        )  # MetricDefinitions: `test \w+ ([-\d.e+]+)`


def stop(*_: object) -> None:
    """Handles SIGTERM.

    Raises:
        Stopped: always.
    """
    raise Stopped


def main() -> int:
    root = Path(os.environ.get("OPT_ML") or "/opt/ml")
    signal.signal(signal.SIGTERM, stop)
    try:
        train(root)
    except Stopped:
        print("stopped; the next job resumes from the checkpoints", file=sys.stderr)
        return 128 + signal.SIGTERM
    except (TrainingFailed, OSError) as error:
        reason = " ".join(str(error).split())[:REASON]
        (root / "output").mkdir(parents=True, exist_ok=True)
        (root / "output" / "failure").write_text(reason)
        print(f"error: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
