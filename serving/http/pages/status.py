"""/status: one row per project, as a page and as JSON; /compare/<project> and the drift reports that it links to."""

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from roadmap.io.json import JsonObject
from serving.auth.callers import require
from serving.errors import Refusal
from serving.http.openapi import ModelName
from serving.http.pages.playground import POLICY
from serving.http.pages.records import COMPARED, COMPARISON, REPORT, ArtifactReader, Record
from serving.http.problems import documented
from serving.runtime.challengers import Challengers
from serving.runtime.store import ModelInfo, ModelStore
from serving.settings import Settings

Format = Annotated[
    Literal["html", "json"] | None, Query(description="default: by the Accept header; HTML if it allows both")
]
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
# Reports have inline styles and scripts. The sandbox isolates them from this server and from all others.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
)
REPORT_HEADERS = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-cache"}


class ProjectStatus(BaseModel):
    """A project: its served version and the latest result of each kind; null if there is none yet."""

    project: str
    health: Literal["ready", "refused", "idle"] = Field(description="refused: failed to load; idle: loads on request")
    reason: str | None = Field(description="why it is refused, or which newer bundle failed to load")
    champion: str | None = Field(description="version")
    created: str | None = Field(description="when it was trained")
    score: str | None = Field(description="headline metric on the test rows")
    data: str | None = Field(description="sha256 of its training data")
    source: str | None = Field(description="the dataset that it was trained on")
    code: Literal["same", "changed", "unknown"] | None = Field(
        description="whether the running predictor code is the one that the champion was evaluated with"
    )
    drift: Record | None
    gate: Record | None
    deploy: Record | None
    challenger: ModelInfo | None
    share: float | None = Field(description="fraction of callers routed to the challenger")
    comparison: Record | None


class Status(BaseModel):
    """The status of all projects at one time."""

    at: str = Field(description="ISO 8601, UTC")
    shadow: float = Field(description="fraction of requests sent to challengers as shadow requests")
    split: float = Field(description="fraction of callers routed to challengers")
    projects: list[ProjectStatus] = Field(description="sorted by name")


def add_status_page(app: FastAPI, store: ModelStore) -> None:
    """The routes /status and its reports."""
    settings: Settings = app.state.settings
    records = ArtifactReader(folder_of(settings))

    @app.get(
        "/status",
        tags=["status"],
        summary="Status of all projects",
        response_model=Status,
        responses={200: {"content": {"text/html": {}}}},
    )
    def get_status(request: Request, format: Format = None) -> Response:
        """One row per project: champion, age, data, drift, deployment and health."""
        challengers: Challengers | None = app.state.challengers
        found = Status(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            shadow=settings.shadow if challengers else 0.0,
            split=settings.split if challengers else 0.0,
            projects=[row(info, records, challengers) for info in store.infos()],
        )
        if (format or wanted(request)) == "json":
            return Response(found.model_dump_json(), media_type="application/json")
        return Response(page(found), media_type="text/html", headers={"Content-Security-Policy": POLICY})

    @app.get(
        "/status/{name}/drift",
        tags=["status"],
        summary="Drift report",
        response_class=Response,
        responses=html_or(403, 404),
    )
    def get_drift_report(request: Request, name: ModelName) -> Response:
        """The latest report that `pipelines.monitor` wrote for this project."""
        return report(request, name, REPORT, f"run `python -m pipelines.monitor project={name}`")

    @app.get(
        "/compare/{name}",
        tags=["status"],
        summary="Champion and challenger",
        response_class=Response,
        responses=html_or(403, 404),
    )
    def get_comparison(request: Request, name: ModelName, format: Format = None) -> Response:
        """The latest report that `pipelines.ab` wrote: both models side by side on live traffic."""
        as_json = (format or wanted(request)) == "json"
        command = f"run `python -m pipelines.ab project={name}`"
        return report(request, name, COMPARED if as_json else COMPARISON, command)

    def report(request: Request, name: str, file: str, otherwise: str) -> Response:
        require(request.scope, name)
        store.slot(name)  # only served names, so no path traversal
        path = records.page(name, file)
        if path is None:
            raise Refusal(404, f"{name}: found no {Path(file).name} yet; {otherwise}")
        if path.suffix == ".json":
            return Response(path.read_bytes(), media_type="application/json")
        return Response(path.read_bytes(), media_type="text/html", headers=REPORT_HEADERS)


def html_or(*statuses: int) -> dict[int | str, JsonObject]:
    """The OpenAPI entries of a report and of these statuses."""
    return documented(*statuses) | {200: {"content": {"text/html": {}}, "description": "the report"}}


def folder_of(settings: Settings) -> Path | None:
    """The folder of the records: by default that of the bundles, if local."""
    if settings.records is not None:
        return settings.records
    folders = [place.strip() for place in settings.bundles.split(",")]
    return next((Path(place) for place in folders if place and ":" not in place), None)


def wanted(request: Request) -> str:
    """Browsers prefer HTML, programs JSON; */* gets the page."""
    accepts = request.headers.get("accept", "")
    return "json" if "application/json" in accepts and "text/html" not in accepts else "html"


def row(info: ModelInfo, records: ArtifactReader, challengers: Challengers | None) -> ProjectStatus:
    """The status of one project."""
    project = info.name
    return ProjectStatus(
        project=project,
        health=info.status,
        reason=info.reason,
        champion=info.version,
        created=info.created,
        score=records.score(project, info.version),
        data=info.data_sha256,
        source=info.source,
        code=info.code,
        drift=records.drift(project),
        gate=records.gate(project),
        deploy=records.deploy(project),
        challenger=challengers.info(info) if challengers else None,
        share=challengers.share(project) if challengers and challengers.info(info) else None,
        comparison=records.comparison(project),
    )


# ---------------------------------------------------------------- the page

CHANGED = "evaluated with different predictor code"
HEADS = ("Project", "Health", "Champion", "Age", "Last data", "Last drift verdict", "Gate", "Last deploy", "Comparison")


def page(found: Status) -> str:
    """Renders the page, with the playground's style sheet."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    now = datetime.fromisoformat(found.at)
    rows = "".join(f"<tr>{''.join(cells(one, now))}</tr>\n" for one in found.projects)
    empty = f'<tr><td colspan="{len(HEADS)}">No models yet.</td></tr>'
    shares = [f"{found.shadow:.0%} of requests are shadowed" if found.shadow else ""]
    shares += [f"{found.split:.0%} of callers are routed to challengers" if found.split else ""]
    said = "".join(f"; {share}" for share in shares if share)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Roadmap models: status</title>
<link rel="icon" href="playground/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="playground/style.css">
</head>
<body>
<header>
<h1><img src="playground/icon.svg" alt="" width="28" height="28"><span>Status</span></h1>
<p>{escape(found.at[:16].replace("T", " "))} UTC{escape(said)}</p>
<nav><a href="./">Models</a><a href="status?format=json">JSON</a><a href="docs">API docs</a></nav>
</header>
<main class="board"><div class="card scroll" role="region" tabindex="0" aria-label="Projects">
<table><thead><tr>{heads}</tr></thead><tbody>
{rows or empty}</tbody></table>
</div></main>
</body>
</html>
"""


def cells(one: ProjectStatus, now: datetime) -> list[str]:
    """A row of the page's table, in HTML."""
    champion = f"<code>{escape(one.champion)}</code>" if one.champion else "none yet"
    data = f"<code>{escape(one.data[:12])}</code>" if one.data else "none yet"
    comparison = versus(one.challenger, one.comparison) if one.challenger else one.comparison
    return [
        f'<th scope="row"><a href="./#{escape(one.project)}">{escape(one.project)}</a></th>',
        f"<td>{badge(one.health, one.health == 'refused')}{small(one.reason)}</td>",
        f"<td>{champion}{small(one.score)}{small(CHANGED if one.code == 'changed' else None)}</td>",
        f"<td>{escape(age(one.created, now))}</td>",
        f"<td>{data}{small(one.source)}</td>",
        *(cell(record, now) for record in (one.drift, one.gate, one.deploy, comparison)),
    ]


def versus(challenger: ModelInfo, comparison: Record | None) -> Record:
    """The status of the current challenger."""
    if challenger.status == "refused":
        return Record(said="challenger refused", detail=challenger.reason, bad=True)
    return comparison or Record(said="under way", detail=f"challenger {challenger.version}; no comparison yet")


def cell(record: Record | None, now: datetime) -> str:
    """A record as a cell, in HTML."""
    if record is None:
        return '<td class="none">none yet</td>'
    link = f' <a href="{escape(record.link)}">report</a>' if record.link else ""
    when = f" <span>{escape(age(record.at, now))} ago</span>" if record.at else ""
    return f"<td>{badge(record.said, record.bad)}{when}{link}{small(record.detail)}</td>"


def badge(said: str, bad: bool) -> str:
    """A word in HTML; bad: it needs attention."""
    return f"<strong{' class=bad' * bad}>{escape(said)}</strong>"


def small(text: str | None) -> str:
    """A hint below, in HTML; nothing without a text."""
    return f'<p class="hint">{escape(text)}</p>' if text else ""


def age(moment: str | None, now: datetime) -> str:
    """Time since an ISO timestamp, as '3 days' or '1 hour'."""
    if moment is None:
        return "unknown"
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return "unknown"
    seconds = (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    for unit, size in UNITS:
        if seconds >= size:
            amount = int(seconds // size)
            return f"{amount} {unit}{'s' * (amount != 1)}"
    return "under a minute"
