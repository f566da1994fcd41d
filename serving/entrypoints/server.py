"""python -m serving: every bundle of artifacts/ on one port."""

import contextlib
import logging.config
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from serving.auth.callers import KeysError
from serving.observability import logs, metrics
from serving.settings import Settings, at_fault, to_environment

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. Exit codes: 1 the address is unavailable, 2 a setting or a bundle is invalid."""
    try:
        settings = Settings(_cli_parse_args=sys.argv[1:] if argv is None else argv)
    except ValidationError as error:
        return fail(2, at_fault(error))
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        return fail(1, f"cannot listen on {settings.host}:{settings.port}: {why}; choose another with --port or PORT")
    with listener, contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it after its shutdown
        return serve(settings, listener) if settings.workers == 1 else supervise(settings, listener)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Binds before the models are loaded, so that a port in use is reported at once, in one line."""
    listener = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
    )
    # asyncio sets this only on sockets with a protocol number, which this one lacks. Without it the second packet of a
    # response waits 40 ms for the client's delayed acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(settings: Settings, listener: socket.socket) -> int:
    """Serves in this process."""
    import uvicorn

    from serving.http.app import create_app
    from serving.sources import SourceError

    logging.config.dictConfig(logs.config(settings.log_format))
    try:
        app = create_app(settings)
    except (SourceError, KeysError) as error:
        return fail(2, str(error))
    infos = app.state.store.infos()
    follows = settings.bundles.startswith("models:/@") and settings.poll_seconds > 0  # missing models may appear later
    if not infos and follows:
        print(f"  found no model with the alias of {settings.bundles} yet; checking every {settings.poll_seconds:g} s")
    elif not infos:
        why = "see the warning above, or " if ":" in settings.bundles else ""
        return fail(2, f"found no bundle in {settings.bundles}; {why}run `make run` or `dvc repro`")
    for info in infos:
        detail = f"version {info.version}, {info.profile}: {info.source}" if info.version else info.status
        print(f"  {info.name:<16} {f'REFUSED: {info.reason}' if info.status == 'refused' else detail}")
    for info in app.state.challengers.store.infos() if app.state.challengers else []:
        detail = f"REFUSED: {info.reason}" if info.status == "refused" else f"version {info.version}"
        print(f"  {info.name:<16} challenger: {detail}")
    announce(settings, listener)
    uvicorn.Server(config(app, settings)).run(sockets=[listener])
    return 0


def supervise(settings: Settings, listener: socket.socket) -> int:
    """Serves with several processes on one socket."""
    from serving.entrypoints.workers import Supervisor

    os.environ.update(to_environment(settings))
    metrics.share_between_workers()
    several = config(
        "serving.http.app:create_app", settings, factory=True, workers=settings.workers, timeout_worker_healthcheck=30
    )
    announce(settings, listener)
    Supervisor(several, sockets=[listener]).run()
    return 0


def config(app: "ASGIApp | str", settings: Settings, **more: Any) -> "uvicorn.Config":
    """uvicorn's configuration. app: itself, or where to import it from; more: further arguments of uvicorn.Config"""
    import uvicorn

    seconds = int(settings.timeout_seconds) + 1  # after SIGTERM requests in flight may complete
    return uvicorn.Config(
        app,
        access_log=False,  # the audit line replaces it
        log_config=logs.config(settings.log_format),
        timeout_graceful_shutdown=seconds,
        server_header=False,
        **more,
    )


def announce(settings: Settings, listener: socket.socket) -> None:
    """Prints the page's address, as the last line before requests are accepted."""
    host = settings.host
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{shown}:{listener.getsockname()[1]}"
    print(f"page {address}/   docs {address}/docs   stop with Ctrl-C", flush=True)


def fail(code: int, message: str) -> int:
    """One line on standard error."""
    print(f"serving: {message}", file=sys.stderr)
    return code
