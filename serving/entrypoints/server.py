"""python -m serving: every bundle of artifacts/ on one port."""

import contextlib
import logging.config
import os
import socket
import sys
from typing import Any

from pydantic import ValidationError

from serving.auth.callers import KeysError
from serving.observability import logs, metrics
from serving.settings import Settings, at_fault, to_environment


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. Exit codes: 1 the address can't be had, 2 a setting or a bundle is wrong."""
    try:
        settings = Settings(_cli_parse_args=sys.argv[1:] if argv is None else argv)
    except ValidationError as error:
        return fail(2, at_fault(error))
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        return fail(1, f"cannot listen on {settings.host}:{settings.port}: {why}; choose another with --port or PORT")
    with listener, contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down already when it raises this
        return serve(settings, listener) if settings.workers == 1 else supervise(settings, listener)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Bound here and not by uvicorn, so that a port in use is one clear line before the models are loaded."""
    listener = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
    )
    # asyncio sets this itself only on sockets whose protocol number is filled in, and this one's isn't: without it, an
    # answer's second packet waits 40 ms for the client's delayed acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(settings: Settings, listener: socket.socket) -> int:
    """In this process."""
    import uvicorn

    from serving.http.app import create_app
    from serving.sources import SourceError

    logging.config.dictConfig(logs.config(settings.log_format))
    try:
        app = create_app(settings)
    except (SourceError, KeysError) as error:
        return fail(2, str(error))
    cards = app.state.store.cards()
    follows = settings.bundles.startswith("models:/@") and settings.poll_seconds > 0  # what is not there yet may come
    if not cards and follows:
        print(f"  no model has the alias of {settings.bundles} yet; it is looked for every {settings.poll_seconds:g} s")
    elif not cards:
        why = "the warning above says why, or " if ":" in settings.bundles else ""
        return fail(2, f"no bundle under {settings.bundles}; {why}`make run` (or `dvc repro`) makes them")
    for card in cards:
        said = f"version {card.version}, {card.profile}: {card.source}" if card.version else card.status
        print(f"  {card.name:<16} {f'REFUSED: {card.reason}' if card.status == 'refused' else said}")
    for card in app.state.challengers.store.cards() if app.state.challengers else []:
        said = f"REFUSED: {card.reason}" if card.status == "refused" else f"version {card.version}"
        print(f"  {card.name:<16} challenger: {said}")
    announce(settings, listener)
    uvicorn.Server(config(app, settings)).run(sockets=[listener])
    return 0


def supervise(settings: Settings, listener: socket.socket) -> int:
    """Several processes on one socket, each a server of its own."""
    from uvicorn.supervisors import Multiprocess

    os.environ.update(to_environment(settings))
    metrics.share_between_workers()
    several = config(
        "serving.http.app:create_app", settings, factory=True, workers=settings.workers, timeout_worker_healthcheck=30
    )
    announce(settings, listener)
    Multiprocess(several, sockets=[listener]).run()
    return 0


def config(app: Any, settings: Settings, **more: Any) -> Any:
    """uvicorn's, for one process or several."""
    import uvicorn

    seconds = int(settings.timeout_seconds) + 1  # SIGTERM: no new requests, and those in flight have their time
    return uvicorn.Config(
        app,
        access_log=False,  # the audit line says it all
        log_config=logs.config(settings.log_format),
        timeout_graceful_shutdown=seconds,
        server_header=False,
        **more,
    )


def announce(settings: Settings, listener: socket.socket) -> None:
    """The line that says where the page is: the last before requests are taken."""
    host = settings.host
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{shown}:{listener.getsockname()[1]}"
    print(f"page {address}/   docs {address}/docs   stop with Ctrl-C", flush=True)


def fail(code: int, message: str) -> int:
    """One line on standard error."""
    print(f"serving: {message}", file=sys.stderr)
    return code
