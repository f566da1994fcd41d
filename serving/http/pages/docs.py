"""/docs and /redoc, whose scripts and styles this server has itself: they work where no CDN can be reached."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.staticfiles import StaticFiles

# Addresses are relative, so that they hold behind a proxy's prefix.
OPENAPI, FILES, ICON = "openapi.json", "docs-files", "playground/icon.svg"


def add_docs(app: FastAPI) -> None:
    """The pages, and below /docs-files what they load."""

    @app.get("/docs", include_in_schema=False)
    async def swagger() -> Response:
        script, style = f"{FILES}/swagger-ui-bundle.js", f"{FILES}/swagger-ui.css"
        return get_swagger_ui_html(
            openapi_url=OPENAPI, title=app.title, swagger_js_url=script, swagger_css_url=style, swagger_favicon_url=ICON
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> Response:
        script = f"{FILES}/redoc.standalone.js"
        return get_redoc_html(
            openapi_url=OPENAPI, title=app.title, redoc_js_url=script, redoc_favicon_url=ICON, with_google_fonts=False
        )

    app.mount(f"/{FILES}", StaticFiles(directory=folder()))


def folder() -> Path:
    """Swagger UI's and Redoc's files, as the package brings them; its own FastAPI class isn't needed."""
    found = find_spec("fastapi_offline")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "static"
