"""The playground over a tiny bundle of every project, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from serving.settings import Settings
from tests.support import bundles
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.visits import Visit, served


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hand-made bundles of the projects, and one that cannot be served."""
    folder = bundles.make_all(tmp_path_factory.mktemp("artifacts"), bundles.ALL)
    bundles.titanic(folder / "broken" / "bundle")
    return folder


@pytest.fixture(scope="module")
def address(artifacts: Path) -> Iterator[str]:
    with served(Settings(bundles=str(artifacts))) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    one = Visit(browser, address)
    yield one
    one.close()
