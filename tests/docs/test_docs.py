"""What the documents say: the two READMEs in step, links that lead somewhere, commands that exist."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.checkouts import ROOT

ENGLISH, CHINESE = (ROOT / name for name in ("README.md", "README.zh-CN.md"))
TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True).stdout.split()
DOCUMENTS = [ROOT / name for name in TRACKED]


def commands(path: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL)
    return [line.partition("  #")[0].rstrip() for block in blocks for line in block.splitlines()]


def figures(path: Path) -> list[list[str]]:
    """The numbers of every generated table."""
    parts = re.findall(r"<!-- figures: (\w+) -->(.*?)<!-- /figures -->", path.read_text(), re.DOTALL)
    return [[name, *sorted(re.findall(r"\d+(?:[.,]\d+)*", text))] for name, text in parts]


def test_both_readmes_show_the_same_commands() -> None:
    assert commands(ENGLISH) == commands(CHINESE)


def test_both_readmes_give_the_same_figures() -> None:
    assert figures(ENGLISH) == figures(CHINESE)
    assert all(len(numbers) > 5 for numbers in figures(ENGLISH)), "a table of figures is empty"


def test_both_readmes_have_the_same_outline() -> None:
    outlines = [re.findall(r"^(#+) ", path.read_text(), re.MULTILINE) for path in (ENGLISH, CHINESE)]
    assert outlines[0] == outlines[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        for line in re.findall(r"`make ([a-z ]+)`|^make ([a-z ]+)", document.read_text(), re.MULTILINE):
            assert set("".join(line).split()) <= targets, f"{document.name}: make {line}"


def test_the_error_that_the_readme_quotes_is_the_one_that_comes() -> None:
    import yaml

    from roadmap.config.errors import UsageError
    from roadmap.config.schema import check

    raw = {**yaml.safe_load((ROOT / "params.yaml").read_text()), "project": "mnist", "trainer": {}, "tracking": {}}
    raw["projects"]["mnist"]["model"]["lrr"] = 0.1
    with pytest.raises(UsageError) as caught:
        check(raw)
    words = str(caught.value).partition(": ")[2]
    assert words in ENGLISH.read_text() and words in CHINESE.read_text()
