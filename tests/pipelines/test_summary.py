"""The table of figures: what is at hand is renewed in the READMEs, what is not stays, in the roadmap's order."""

import pytest

from pipelines import summary
from tests.support.checkouts import ROOT

README = """# Title
<!-- figures: full -->
| project | data |
| --- | --- |
| titanic | 891 |
| mnist | old |
| gone | of a project that was removed |

Made by hand.
<!-- /figures -->
"""


def row(project: str) -> tuple[str, ...]:
    return (project, *("new",) * (len(summary.COLUMNS) - 1))


def test_rows_at_hand_replace_theirs_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = summary.renew(README, "full", [row("mnist"), row("house_prices")])
    names = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| ")]
    assert names == ["project", "---", "house_prices", "titanic", "mnist"]
    assert "| titanic | 891 |" in text and "old" not in text
    assert text.startswith("# Title\n") and text.endswith("\nMade by hand.\n<!-- /figures -->\n")
    assert summary.renew(text, "full", [row("mnist"), row("house_prices")]) == text


def test_a_readme_without_the_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="figures: sample"):
        summary.renew(README, "sample", [row("mnist")])
