"""Is params.yaml sound? `python -m pipelines.check [key=value ...]`; a mistake is one line and exit code 2."""

import sys
from pathlib import Path

import yaml

from roadmap.config.schema import Run
from roadmap.config.stage import stage


@stage
def main(run: Run) -> None:
    print("params.yaml: every project's block is sound")


if __name__ == "__main__":
    if not any(argument.startswith("project=") for argument in sys.argv[1:]) and Path("params.yaml").is_file():
        sys.argv.append(f"project={next(iter(yaml.safe_load(Path('params.yaml').read_text())['projects']))}")
    main()
