"""Stage 1, prepare: raw data and feedback/<project>/ -> splits and card.json in data/<project>/."""

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.feedback import recent
from roadmap.project import TakesLabels, load_project


@stage
def main(run: Run) -> None:
    data = load_project(run.name).data
    prepared = data.prepare(run.settings.data, run.profile, run.seed)
    if isinstance(data, TakesLabels):
        prepared = recent.with_feedback(prepared, run.feedback, run.profile, data.labelled)
    card = splits.write(run.data, prepared, run.profile)
    rows = ", ".join(f"{name} {count:,}" for name, count in card["rows"].items())
    print(f"{run.data}: {rows}; sha256 {card['sha256'][:12]}")


if __name__ == "__main__":
    main()
