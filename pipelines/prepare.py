"""Stage 1, prepare: raw data and feedback/<project>/ -> data/<project>/ with its splits and card.json."""

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.feedback import recent


@stage
def main(run: Run) -> None:
    data = run.module("data")
    prepared = data.prepare(run.project.data, run.profile, run.seed)
    prepared = recent.extended(prepared, run.feedback, run.profile, getattr(data, "labelled", None))
    card = splits.write(run.data, prepared, run.profile)
    rows = ", ".join(f"{name} {count:,}" for name, count in card["rows"].items())
    print(f"{run.data}: {rows}; sha256 {card['sha256'][:12]}")


if __name__ == "__main__":
    main()
