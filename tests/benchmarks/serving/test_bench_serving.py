"""The conclusions of the serving benchmark from its measurements."""

import pytest

from benchmarks.serving.bench_serving import Question, Row, same, table
from benchmarks.serving.load import Figures, dechunked, text


def question(streams: bool = False) -> Question:
    case = Question.__new__(Question)  # without a bundle
    case.project, case.streams = "titanic", streams
    return case


def test_the_table_compares_with_the_fastest_peer() -> None:
    rows: dict[str, Row] = {
        "this server": {16: Figures(2000, 4, 10, 0, 0.2)},
        "slow": {16: Figures(10, 1, 1, 0, 0.1)},
        "best": {16: Figures(1000, 8, 20, 0, 0.8)},
    }
    assert table(question(), rows, [16]).splitlines()[-1] == (
        "| ours to the best peer | 2.00x | 0.50x / 0.50x | 0.25x |"
    )


def test_servers_that_failed_are_in_the_table() -> None:
    rows: dict[str, Row] = {"broken": "ended with exit code 1:\nno module", "flaky": {1: Figures(5, 1, 2, 7, 0.1)}}
    shown = table(question(), rows, [1])
    assert "| broken | not measured: ended with exit code 1: no module |" in shown
    assert "5 (7 errors)" in shown
    assert len({line.count("|") for line in shown.splitlines()}) == 1, "a table with rows of unequal length"


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ([{"label": "survived", "probability": 0.98541}], True),
        ([{"label": "survived", "probability": 0.9854, "extra": 1}], True),
        ([{"label": "survived", "probability": 0.9}], False),
        ([{"label": "died", "probability": 0.98541}], False),
        ([{"label": "survived"}], False),
        ([], False),
        (None, False),
    ],
)
def test_responses_may_differ_by_rounding_only(given: object, right: bool) -> None:
    assert same(given, [{"label": "survived", "probability": 0.985406}]) is right


def test_a_stream_is_read_in_any_chunks() -> None:
    body = b'event: text\ndata: {"text": "to "}\n\ndata: {"text": "be"}\n\ndata: {"text": "to be", "usage": {}}\n\n'
    parts = [body[:7], body[7:40], body[40:]]
    raw = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert text(dechunked(raw)) == "to be"
