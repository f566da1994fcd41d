"""The browser that pages are tried with."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The system's browser; without one, Playwright's own, and without that, its words on how to get it.
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
