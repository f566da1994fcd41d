"""`dvc repro` of all projects, or of some: says how far it is, then the results and what to do next.

    python -m pipelines.run only=mnist,titanic

What has not changed is skipped, so a run that was stopped goes on where it was.
"""

import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import yaml
from pydantic import Field

from pipelines import summary
from roadmap.config.params import projects
from roadmap.io import command_line
from roadmap.io.errors import CommandError, UsageError, nearest

STARTS = re.compile(r"^Running stage '(\S+)'")
SKIPS = re.compile(r"^Stage '(\S+)' (?:didn't change|is cached)")
NEXT = """
Next:
  make serve     every model on http://localhost:8000, with a page to try them
  make mlflow    runs, curves, plots and the registry, on port 5000
  make airflow   the same pipelines as Airflow DAGs, on port 8080
  docs/en/quickstart.md, docs/zh/quickstart.md: other settings, the official data, your own files
"""


class Options(command_line.Options):
    only: str = Field("", description="projects, separated by commas; all unless given")


def run(options: Options) -> int:
    chosen = chosen_of(options.only)
    progress = Progress(stages(chosen))
    command = [sys.executable, "-m", "dvc", "repro", *(progress.stages if options.only else ())]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as dvc:
        assert dvc.stdout
        for line in dvc.stdout:
            if begun := STARTS.match(line):
                print(progress.begin(begun[1]), flush=True)
            elif skipped := SKIPS.match(line):
                progress.skip(skipped[1])
            print(line, end="", flush=True)
    if dvc.returncode:
        raise CommandError(f"dvc repro stopped {progress.place()}; see above; the same command goes on there")
    summary.run(summary.Options())
    print(f"All {len(progress.stages)} stages in {duration(progress.elapsed())}.\n{NEXT}", end="")
    return 0


def chosen_of(only: str) -> list[str]:
    """Project names.

    Raises:
        UsageError: one of them does not exist.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in projects():
            raise UsageError(f"only: found {name!r}; {nearest(name, projects())}")
    return names or projects()


def stages(chosen: list[str]) -> list[str]:
    """DVC's names of the stages of the projects, and of those that belong to none."""
    graph = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    of_projects = [f"{name}@{project}" for project in chosen for name, stage in graph.items() if "foreach" in stage]
    return [name for name, stage in graph.items() if "foreach" not in stage] + of_projects


class Progress:
    """Which stages are done, and how long the others will take: as long as that stage took of the projects so far."""

    def __init__(self, stages: list[str]) -> None:
        self.stages, self.current = stages, ""
        self.done: set[str] = set()  # with the current one
        self.seconds: dict[str, list[float]] = defaultdict(list)  # by stage without project; 0 for one that was skipped
        self.started = self.begun = time.monotonic()

    def begin(self, stage: str) -> str:
        """The line to show before `stage` runs."""
        self._end()
        self.current, self.begun = stage, time.monotonic()
        self.done.add(stage)
        known = [each for seconds in self.seconds.values() for each in seconds]
        left = [name.partition("@")[0] for name in self.stages if name not in self.done] + [stage.partition("@")[0]]
        expected = sum(fmean(self.seconds[kind] or known) for kind in left) if known else None
        ahead = "" if expected is None else f" · about {duration(expected)} left"
        return f"\n── {len(self.done)}/{len(self.stages)} {stage} · {duration(self.elapsed())}{ahead}"

    def skip(self, stage: str) -> None:
        self._end()
        self.done.add(stage)
        self.seconds[stage.partition("@")[0]].append(0.0)

    def place(self) -> str:
        if not self.current:
            return "before the first stage" if not self.done else "between two stages"
        return f"at {self.current}, stage {len(self.done)} of {len(self.stages)}"

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def _end(self) -> None:
        if self.current:
            self.seconds[self.current.partition("@")[0]].append(time.monotonic() - self.begun)
            self.current = ""


def duration(seconds: float) -> str:
    """0 s, 59 s, 1 min 5 s, 1 h 2 min"""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
