"""The page at /, on which a person tries every model."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

PAGE = Path(__file__).parent / "playground.html"


def add_page(app: FastAPI) -> None:
    page = PAGE.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": policy(page), "Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    def playground() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)


def policy(page: str) -> str:
    """A Content-Security-Policy that lets the page run its own script and style, ask this server, and nothing else."""

    def hashes(tag: str) -> str:
        found = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
