"""Validates params.yaml: `python -m pipelines.check [key=value ...]`; an error is one line and exit code 2."""

import sys

from roadmap.config.params import PARAMS, projects
from roadmap.config.schema import Run
from roadmap.config.stage import stage


@stage
def main(run: Run) -> None:
    print("params.yaml: all projects are valid")


if __name__ == "__main__":
    if not any(argument.startswith("project=") for argument in sys.argv[1:]) and PARAMS.is_file():
        sys.argv.append(f"project={projects()[0]}")
    main()
