"""Stage 3, baselines: classical baselines on the same splits -> artifacts/<project>/baselines.json.

A separate stage because it depends on the data alone: experiments with the network don't rerun it.
"""

import json

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.project import load_project


@stage
def main(run: Run) -> None:
    rows = load_project(run.name).evaluation.baselines(run.data, run.seed)
    run.artifacts.mkdir(parents=True, exist_ok=True)
    (run.artifacts / "baselines.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
