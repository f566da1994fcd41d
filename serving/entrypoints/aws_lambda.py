"""The same server as an AWS Lambda function behind API Gateway (HTTP API or REST API) or a load balancer.

The function's handler is `serving.entrypoints.aws_lambda.handler`. The models are loaded while the function
initialises. They come from LAMBDA_TASK_ROOT/artifacts, or from SERVING_BUNDLES; what is fetched lies under /tmp, all
that can be written to.
Lambda takes an answer as a whole, so what streams elsewhere arrives here in one piece.
"""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mangum import Mangum
from mangum.protocols import LifespanCycle
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.app import create_app
from serving.settings import Settings, variable

MIB = 2**20
LARGEST = {"alb": 1 * MIB, "api": 6 * MIB}  # an answer that the load balancer, or Lambda itself, passes on
WIDEST = 6  # characters that one of an answer can become in JSON: \u0000
MARGIN = 0.5  # seconds of the function's time that are kept for the answer's way out

log = logging.getLogger("serving")


class DeadlineMiddleware:
    """Gives a request the time that Lambda leaves it, so that what takes too long is 504 and not the process's end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = max(scope["aws.context"].get_remaining_time_in_millis() / 1000 - MARGIN, 0.001)
        asked = dict(scope["headers"]).get(b"x-request-timeout", b"inf")
        with suppress(ValueError):  # what is no number, the server refuses
            if float(asked) > left:
                others = [header for header in scope["headers"] if header[0] != b"x-request-timeout"]
                scope["headers"] = [*others, (b"x-request-timeout", b"%.3f" % left)]
        await self.app(scope, receive, send)


def build() -> Mangum:
    """The app behind Mangum, with its models loaded.

    Raises:
        RuntimeError: there is no bundle.
    """
    defaults = {
        "bundles": str(Path(os.environ.get("LAMBDA_TASK_ROOT", ".")) / "artifacts"),
        "cache": "/tmp/bundles",
        "predictions_spool": "/tmp/predictions",
        "poll_seconds": 0,  # between invocations nothing runs
    }
    given = {name: value for name, value in defaults.items() if not os.environ.get(variable(name))}
    settings = Settings.model_validate(given)
    app = create_app(settings)
    if not app.state.store.names():
        raise RuntimeError(f"no bundle under {settings.bundles}; the image should hold <project>/bundle there")
    # Mangum itself would start and stop the app around every invocation. Once is enough, and Lambda says no goodbye.
    adapter = Mangum(DeadlineMiddleware(app), lifespan="off", text_mime_types=["text/", "json"])
    LifespanCycle(app, "on").__enter__()
    return adapter


adapter = build()


def handler(event: Any, context: Any) -> dict[str, Any]:
    """An event of API Gateway or a load balancer in, the answer as these want it out."""
    try:
        answer = adapter(event, context)
    except Exception as error:  # the server's own failures are answers already: it is the event that has another shape
        log.warning("not an HTTP event: %r", error)
        return problem(400, "this function answers events of API Gateway and of load balancers; this was another one")
    largest = LARGEST["alb" if "elb" in event["requestContext"] else "api"]
    if len(answer["body"]) * WIDEST > largest and len(json.dumps(answer)) > largest:
        said = f"the answer is larger than the {largest // MIB} MB that can be passed on; send fewer inputs"
        return problem(413, said, event.get("rawPath") or event["path"])
    return answer


def problem(status: int, detail: str, instance: str = "") -> dict[str, Any]:
    title = {400: "Bad Request", 413: "Content Too Large"}[status]
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": instance}
    headers = {"content-type": "application/problem+json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(content), "isBase64Encoded": False}
