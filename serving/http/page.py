"""The page at `/`, on which a person tries every model. Its files are read when they are asked for."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parents[1] / "playground"
# The page may load its own files and ask this server, and nothing else. blob: and data: are pictures that it drew.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


class PlaygroundFiles(StaticFiles):
    """Files with an ETag: a browser asks each time whether one has changed, and mostly hears 304."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(HEADERS)
        return response


def add_page(app: FastAPI) -> None:
    """/ and /playground/."""
    files = PlaygroundFiles(directory=FOLDER)

    @app.get("/", include_in_schema=False)
    async def playground(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.mount("/playground", files)
