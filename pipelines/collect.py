"""Before prepare, collect: labelled rows of the prediction log -> feedback/<project>/, a new version of the data.

It has no dependencies in DVC: `dvc repro` runs it once; later runs are by
`dvc repro --force --single-item collect@titanic` or by the project's DAG after drift. SERVING_PREDICTIONS names the
log, a folder (absolute path) or a SQLAlchemy URL; `python -m pipelines.label` adds the labels.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.feedback import collected
from roadmap.io.errors import Unavailable
from roadmap.prediction_log import labels
from roadmap.project import TakesLabels, load_project


@stage
def main(run: Run) -> None:
    log = os.environ.get("SERVING_PREDICTIONS", "")
    collected.begin(run.feedback)
    if not log:
        print(f"{run.feedback}: nothing to collect, SERVING_PREDICTIONS is not set")
    elif not isinstance(load_project(run.name).data, TakesLabels):
        print(f"{run.feedback}: nothing to collect, the project takes no labels (its Data is not a TakesLabels)")
    elif "://" not in log and not Path(log).is_dir():
        print(f"{run.feedback}: nothing to collect yet, found no folder {log}")
    else:
        now = datetime.now(UTC)
        try:
            found = list(labels.labelled(log, run.name, now - labels.LOOKBACK, now))
        except labels.store_errors(log) as error:  # only the type: a database's message may contain its password
            raise Unavailable(f"SERVING_PREDICTIONS: unreadable ({type(error).__name__})") from None
        added = collected.add(run.feedback, found, now)
        print(f"{run.feedback}: {added:,} labelled rows added, {len(collected.read(run.feedback)):,} in all")


if __name__ == "__main__":
    main()
