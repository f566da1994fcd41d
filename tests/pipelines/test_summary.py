"""The tables of figures: available results are updated in the documents, others stay, in the roadmap's order."""

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


def test_new_rows_replace_old_ones_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = summary.renew(README, "full", [row("mnist"), row("house_prices")])
    names = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| ")]
    assert names == ["project", "---", "house_prices", "titanic", "mnist"]
    assert "| titanic | 891 |" in text and "old" not in text
    assert text.startswith("# Title\n") and text.endswith("\nMade by hand.\n<!-- /figures -->\n")
    assert summary.renew(text, "full", [row("mnist"), row("house_prices")]) == text


def test_a_table_keeps_its_header_and_handwritten_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    table = "| 项目 | 内容 |\n| --- | --- |\n| [titanic](x) | 谁能生还 | old | old | old |\n"
    text = f"<!-- figures: projects -->\n{table}<!-- /figures -->\n"
    lines = summary.renew(text, "projects", [row("titanic"), row("mnist")], summary.short).splitlines()
    assert lines[1] == "| 项目 | 内容 |"
    assert lines[3] == "| [titanic](pipelines/titanic/README.md) | 谁能生还 | new (new) | new | new |"
    title = (ROOT / "pipelines" / "mnist" / "README.md").read_text().splitlines()[0].partition(": ")[2]
    assert lines[4] == f"| [mnist](pipelines/mnist/README.md) | {title} | new (new) | new | new |"


def test_the_documents_have_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for path in summary.READMES:
        assert "titanic" in summary.renew(path.read_text(), "projects", [row("titanic")], summary.short)
    for path in summary.PAGES:
        for profile in ("sample", "full"):
            assert "| titanic | new |" in summary.renew(path.read_text(), profile, [row("titanic")])


def test_a_readme_without_the_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="figures: sample"):
        summary.renew(README, "sample", [row("mnist")])
