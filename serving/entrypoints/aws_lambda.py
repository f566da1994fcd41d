"""The same server as an AWS Lambda function behind API Gateway (HTTP API or REST API) or a load balancer.

The function's handler is `serving.entrypoints.aws_lambda.handler`. The models are loaded while the function
initialises, from LAMBDA_TASK_ROOT/artifacts or from SERVING_BUNDLES. Downloads go to /tmp, the only writable folder.
Lambda buffers responses, so streams arrive in one piece.
"""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from mangum import Mangum
from mangum.protocols import LifespanCycle
from mangum.types import LambdaContext, LambdaEvent
from starlette.types import ASGIApp, Receive, Scope, Send

from roadmap.io.json import JsonObject
from serving.http.app import create_app
from serving.settings import Settings, variable

MIB = 2**20
LARGEST = {"alb": 1 * MIB, "api": 6 * MIB}  # largest response of the load balancer, and of Lambda itself
WIDEST = 6  # most characters of one character in JSON: \u0000
MARGIN = 0.5  # seconds reserved for sending the response

log = logging.getLogger("serving")


class DeadlineMiddleware:
    """Limits a request to Lambda's remaining time, so that a slow one gets 504 instead of killing the process."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = max(scope["aws.context"].get_remaining_time_in_millis() / 1000 - MARGIN, 0.001)
        header = dict(scope["headers"]).get(b"x-request-timeout", b"inf")
        with suppress(ValueError):  # the server rejects what is not a number
            if float(header) > left:
                others = [header for header in scope["headers"] if header[0] != b"x-request-timeout"]
                scope["headers"] = [*others, (b"x-request-timeout", b"%.3f" % left)]
        await self.app(scope, receive, send)


def build() -> Mangum:
    """The app behind Mangum, with its models loaded.

    Raises:
        RuntimeError: there are no bundles.
    """
    defaults = {
        "bundles": str(Path(os.environ.get("LAMBDA_TASK_ROOT", ".")) / "artifacts"),
        "cache": "/tmp/bundles",
        "predictions_spool": "/tmp/predictions",
        "poll_seconds": 0,  # nothing runs between invocations
    }
    given = {name: value for name, value in defaults.items() if not os.environ.get(variable(name))}
    settings = Settings.model_validate(given)
    app = create_app(settings)
    if not app.state.store.names():
        raise RuntimeError(f"found no bundle in {settings.bundles}; expected <project>/bundle in the image")
    # Mangum would start and stop the app around every invocation. It starts once here, and Lambda never stops it.
    adapter = Mangum(DeadlineMiddleware(app), lifespan="off", text_mime_types=["text/", "json"])
    LifespanCycle(app, "on").__enter__()
    return adapter


adapter = build()


def handler(event: LambdaEvent, context: LambdaContext) -> JsonObject:
    """Handles an event of API Gateway or of a load balancer; of anything else, the answer is a 400."""
    try:
        answer = adapter(event, context)
    except Exception as error:  # errors of the server are responses already, so the event is malformed
        log.warning("not an HTTP event: %r", error)
        return problem(400, "unknown event; expected one of API Gateway or of a load balancer")
    largest = LARGEST["alb" if "elb" in event["requestContext"] else "api"]
    if len(answer["body"]) * WIDEST > largest and len(json.dumps(answer)) > largest:
        detail = f"the response exceeds the limit of {largest // MIB} MB; send fewer inputs"
        return problem(413, detail, event.get("rawPath") or event["path"])
    return answer


def problem(status: int, detail: str, instance: str = "") -> JsonObject:
    """A problem (RFC 9457) as Lambda's answer. status: 400 or 413"""
    title = {400: "Bad Request", 413: "Content Too Large"}[status]
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": instance}
    headers = {"content-type": "application/problem+json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(content), "isBase64Encoded": False}
