"""The page of an aligned model: a vote on two texts, before it is told who wrote them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from serving.settings import Settings
from tests.support.bundles.rlhf import rlhf
from tests.support.visits import Visit, served


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    rlhf(tmp_path / "rlhf" / "bundle")
    with served(Settings(bundles=str(tmp_path))) as address:
        one = Visit(browser, address)
        yield one
        one.close()


def test_a_vote_tells_who_wrote_what(visit: Visit) -> None:
    page = visit.open("rlhf")
    texts = page.locator(".texts .text")
    expect(texts).to_have_count(2)  # the first example is asked about at once
    expect(texts.first.locator("h3")).to_have_text("Text 1")
    expect(page.locator(".texts dl")).to_have_count(0)
    page.fill("#prompt", "xyz")
    page.get_by_role("button", name="Write two texts").click()
    expect(texts.first.locator(".paper")).to_have_text(re.compile("^xyz abcdefg"))
    page.get_by_role("button", name="Text 2 is better").click()
    expect(page.locator(".texts .chosen")).to_have_count(1)
    assert set(texts.locator("h3").all_text_contents()) == {"The aligned model", "The model it began as"}
    expect(page.locator(".texts dl").first).to_contain_text("Learned reward")
    expect(page.locator(".answer .hint")).to_contain_text("Votes: 1. The reward model agrees with 0 of them.")
    page.get_by_role("button", name="中文").click()
    expect(page.locator(".texts .chosen")).to_have_count(1)  # and the vote is kept
    expect(page.locator(".answer .hint")).to_contain_text("你投了 1 次票")


def test_a_prompt_that_the_model_cannot_read(visit: Visit) -> None:
    page = visit.open("rlhf")
    page.fill("#prompt", "ß")
    page.get_by_role("button", name="Write two texts").click()
    expect(page.locator(".alert")).to_contain_text("found 'ß'")
    page.fill("#prompt", "abc")
    page.get_by_role("button", name="Write two texts").click()
    expect(page.locator(".texts .text")).to_have_count(2)
