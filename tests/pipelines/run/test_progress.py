"""`make run`: how far it is, and what it runs."""

import pytest

from pipelines import run
from pipelines.run import SKIPS, STARTS, Progress, chosen_of, duration, stages
from roadmap.io.errors import UsageError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only value is the time."""
    now = [100.0]
    monkeypatch.setattr(run.time, "monotonic", lambda: now[0])
    return now


def test_what_is_left_takes_as_long_as_the_projects_before(clock: list[float]) -> None:
    progress = Progress(["train@a", "report@a", "train@b", "report@b"])
    assert progress.begin("train@a") == "\n── 1/4 train@a · 0 s"
    clock[0] += 60
    assert progress.begin("report@a").endswith("2/4 report@a · 1 min 0 s · about 3 min 0 s left"), (
        "as the only one known"
    )
    clock[0] += 4
    assert progress.begin("train@b").endswith("3/4 train@b · 1 min 4 s · about 1 min 4 s left")
    assert progress.place() == "at train@b, stage 3 of 4"


def test_an_unchanged_stage_takes_no_time(clock: list[float]) -> None:
    progress = Progress(["train@a", "train@b", "train@c"])
    progress.skip("train@a")
    assert progress.begin("train@b").endswith("2/3 train@b · 0 s · about 0 s left")


def test_dvcs_lines_are_known() -> None:
    assert STARTS.match("Running stage 'train@mnist':")
    assert SKIPS.match("Stage 'train@mnist' didn't change, skipping")
    assert SKIPS.match("Stage 'train@mnist' is cached - skipping run, checking out outputs")


def test_some_projects_have_their_stages_and_the_common_ones() -> None:
    found = stages(chosen_of("mnist, titanic"))
    assert {"store", "report@mnist", "register@titanic"} <= set(found)
    assert not any(name.endswith("@imdb") for name in found)
    assert "register@imdb" in stages(chosen_of(""))


def test_a_misspelt_project_is_named() -> None:
    with pytest.raises(UsageError, match="only: found 'titanc'; did you mean 'titanic'"):
        chosen_of("titanc")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (65, "1 min 5 s"), (3725, "1 h 2 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
