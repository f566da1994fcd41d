"""A server of the playground, and a user's browser there."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect

from serving.http.app import create_app
from serving.settings import Settings

PATIENCE = 60_000  # ms; by default `expect` has 5 s, which a busy machine exceeds
expect.set_options(timeout=PATIENCE)


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address of a server in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


class Visit:
    """A user's browser. Closing it checks for unnoticed errors."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.faults: list[str] = []
        self.context: BrowserContext = browser.new_context(**{"locale": "en-US", **options})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.faults.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"asked {url}")

    def open(self, project: str) -> Page:
        self.page.goto(f"{self.address}#{project}")
        expect(self.page.locator("h2 code")).to_have_text(project)
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.faults


def headline(page: Page) -> Any:
    return page.locator(".answer .headline")


def choose(page: Page, field: str, level: str) -> None:
    page.get_by_role("group", name=field).get_by_role("radio", name=level, exact=True).check()
