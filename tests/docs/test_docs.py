"""The documentation: both languages match, links resolve, commands and paths exist."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from pymdownx.slugs import slugify

from tests.support.checkouts import BIN, ROOT

TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
DOCUMENTS = [ROOT / name for name in TRACKED if name.endswith(".md")]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = sorted(path.name for path in (ROOT / "docs" / "en").glob("*.md"))
PAIRS = [READMES, *([ROOT / "docs" / language / page for language in ("en", "zh")] for page in PAGES)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OUTPUTS = ("artifacts", "data", "feedback", "site")  # not in the repository

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
every_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)


def commands(path: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL)
    return [re.split(r"\s+# ", line)[0].rstrip() for block in blocks for line in block.splitlines()]


def headings(path: Path) -> list[tuple[str, str]]:
    """(hashes, words) of each, outside of code blocks."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return re.findall(r"^(#+) (.*)", text, re.MULTILINE)


def figures(path: Path) -> dict[str, list[str]]:
    """The numbers of every generated table, by its name."""
    parts = re.findall(r"<!-- figures: (\w+) -->(.*?)<!-- /figures -->", path.read_text(), re.DOTALL)
    return {name: sorted(re.findall(r"\d+(?:[.,]\d+)*", text)) for name, text in parts}


def anchors(path: Path) -> set[str]:
    slug = slugify(case="lower")
    return {slug(words.replace("`", ""), "-") for _, words in headings(path)}


def test_a_readme_is_short() -> None:
    for path in READMES:
        assert len(path.read_text().splitlines()) <= 130, path.name


def test_every_page_exists_in_both_languages_and_in_the_menu() -> None:
    assert sorted(path.name for path in (ROOT / "docs" / "zh").glob("*.md")) == PAGES
    config = yaml.load((ROOT / "mkdocs.yml").read_text().replace("!!python/object/apply:", "!"), yaml.BaseLoader)
    menu = {title: page for one in config["nav"] for title, page in one.items()}
    assert sorted(menu.values()) == PAGES
    (i18n,) = (plugin["i18n"] for plugin in config["plugins"] if "i18n" in plugin)
    (chinese,) = (one for one in i18n["languages"] if one["locale"] == "zh")
    assert list(chinese["nav_translations"]) == list(menu)
    assert chinese["nav_translations"] == {
        title: headings(ROOT / "docs" / "zh" / page)[0][1] if page != "index.md" else "首页"
        for title, page in menu.items()
    }


@every_pair
def test_both_languages_have_the_same_outline_commands_and_figures(pair: list[Path]) -> None:
    english, chinese = pair
    assert [hashes for hashes, _ in headings(english)] == [hashes for hashes, _ in headings(chinese)]
    assert commands(english) == commands(chinese)
    assert figures(english) == figures(chinese)
    assert all(len(numbers) > 5 for numbers in figures(english).values()), "a table of figures is empty"


@every_document
def test_links_resolve(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        place = document.parent / target if target else document
        assert place.exists(), f"{document.name} points to {target}"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{document.name}: {target} has no heading {anchor}"


@every_document
def test_make_targets_and_modules_exist(document: Path) -> None:
    text = document.read_text()
    for line in re.findall(r"`make ([a-z -]+)`|^(?:[A-Z_]+=\S+ )*make ([a-z -]+)", text, re.MULTILINE):
        assert set("".join(line).split()) <= TARGETS, f"make {line}"
    for module in set(re.findall(r"\bpython -m ([a-z_][\w.]*\w)", text)):
        assert importlib.util.find_spec(module), f"python -m {module}"


@every_pair
def test_server_flags_exist(pair: list[Path]) -> None:
    from serving.settings import Settings

    known = {f"--{name.replace('_', '-')}" for name in Settings.model_fields} | {"--help"}
    for document in pair:
        for line in re.findall(r"python -m serving( .*)", document.read_text()):
            assert set(re.findall(r" (--[a-z-]+)", line)) <= known, line


@every_pair
def test_stages_projects_and_paths_exist(pair: list[Path]) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    projects = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]
    roots = {name.partition("/")[0] for name in TRACKED if "/" in name} - set(OUTPUTS)
    for document in pair:
        text = document.read_text()
        projects |= dict.fromkeys(re.findall(r"^  (\w+):\n    network:", text, re.MULTILINE))  # of an example
        for stage, project in re.findall(r"\b([a-z]+)@([a-z_0-9]+)", re.sub(r"models:/\S+", "", text)):
            assert stage in stages and project in projects, f"{document.name}: {stage}@{project}"
        for path in re.findall(r"`([\w./-]+/[\w./-]*)`", text):
            if path.partition("/")[0] in roots:
                assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_every_roadmap_package_is_documented() -> None:
    packages = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "roadmap").glob("*/__init__.py")}
    for language in ("en", "zh"):
        text = (ROOT / "docs" / language / "concepts.md").read_text()
        assert packages == set(re.findall(r"^\| `(roadmap/\w+)` \|", text, re.MULTILINE))


def test_documented_gate_settings_exist() -> None:
    from roadmap.config.limits import GateSettings

    for language in ("en", "zh"):
        text = (ROOT / "docs" / language / "gate.md").read_text()
        assert set(GateSettings.model_fields) <= set(re.findall(r"`(\w+)`", text))


def test_the_example_project_block_is_valid() -> None:
    from pipelines.titanic import settings
    from roadmap.config.schema import ProjectSettings

    for language in ("en", "zh"):
        text = (ROOT / "docs" / language / "add-a-project.md").read_text()
        (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        ProjectSettings[settings.Data, settings.Model].model_validate(yaml.safe_load(block)["churn"])


def test_the_quoted_error_is_current() -> None:
    from roadmap.config.check import check
    from roadmap.io.errors import UsageError

    raw = {
        **yaml.safe_load((ROOT / "params.yaml").read_text()),
        "project": "mnist",
        "trainer": {"devices": 1, "precision": "32-true"},
        "tracking": {},
    }
    raw["projects"]["mnist"]["model"]["lrr"] = 0.1
    with pytest.raises(UsageError) as caught:
        check(raw)
    words = str(caught.value).partition(": ")[2]
    for language in ("en", "zh"):
        assert words in (ROOT / "docs" / language / "concepts.md").read_text()


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 45


@pytest.mark.slow
def test_documented_options_exist() -> None:
    """By each command's --help; a stage takes keys of params.yaml, which have their own tests."""
    stages = {f"pipelines.{name}" for name in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]}
    used: dict[tuple[str, ...], set[str]] = {}
    for document, _ in PAIRS:
        for line in commands(document):
            words = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line).split()
            if (
                words[:2] != ["python", "-m"]
                or words[2] in stages
                or not words[2].startswith(("pipelines", "serving", "infra"))
            ):
                continue
            verb = words[2:4] if words[2] == "serving.auth" else words[2:3]
            options = {word.partition("=")[0] for word in words[3:] if "=" in word or word.startswith("--")}
            used.setdefault(tuple(verb), set()).update(options - {"--help"})
    used = {command: options for command, options in used.items() if options}
    assert len(used) > 6
    for (module, *verb), options in used.items():
        command = [str(BIN / "python"), "-m", module, *verb, "--help"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        missing = {option for option in options if not re.search(rf"(?<![\w-]){option}\b", done.stdout)}
        assert not missing, f"python -m {module}: {missing}"


@pytest.mark.slow
def test_the_site_builds_in_both_languages_with_search(tmp_path: Path) -> None:
    command = [str(BIN / "mkdocs"), "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for folder, language, words in (("", "en", "Quick start"), ("zh", "zh", "快速开始")):
        page = (tmp_path / folder / "quickstart" / "index.html").read_text()
        assert f'<html lang="{language}"' in page and "<h1 id=" in page and words in page
    index = json.loads((tmp_path / "search" / "search_index.json").read_text())
    assert {"en", "zh"} <= set(index["config"]["lang"])
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {"" if page == "index.md" else f"{Path(page).stem}/" for page in PAGES}
    assert places == pages | {f"zh/{page}" for page in pages}
