"""The browser for tests of pages."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The system's browser, or Playwright's own, or its message on how to install it.
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
