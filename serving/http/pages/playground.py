"""The playground at `/`. Its files are read on request."""

import os
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[2] / "playground"
# The page may load its own files and call this server only. blob: and data: are images that it drew.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


class PlaygroundFiles(StaticFiles):
    """Static files with an ETag: browsers revalidate each time and mostly get 304."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Starlette's, with our headers."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


def add_playground(app: FastAPI) -> None:
    """The routes / and /playground/."""
    files = PlaygroundFiles(directory=FOLDER)

    @app.get("/", include_in_schema=False)
    async def playground(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.mount("/playground", files)
