"""python -m serving: every bundle of artifacts/ on one port."""

import argparse
import contextlib
import logging
import os
import socket
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if not any(options.bundles.glob("*/bundle/bundle.json")):
        return fail(2, f"no bundle under {options.bundles}/; `make run` (or `dvc repro`) makes them")
    try:
        # Bound here and not by uvicorn, so that a port in use is one clear line before the models are loaded.
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.port), family=family)
        # asyncio sets this itself only on sockets whose protocol number is filled in, and this one's isn't: without
        # it, an answer's second packet waits 40 ms for the client's delayed acknowledgement of the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        return fail(1, f"cannot listen on {options.host}:{options.port}: {why}; choose another with --port or PORT")
    with listener:
        return serve(options.bundles, options.host, listener)


def serve(bundles: Path, host: str, listener: socket.socket) -> int:
    import uvicorn

    from serving.app import create_app

    logging.basicConfig(format="%(levelname)s: %(message)s")
    app = create_app(bundles)
    for model in app.models.values():
        card = model.card()
        said = f"REFUSED: {card.reason}" if card.reason else f"version {card.version}, {card.profile}: {card.source}"
        print(f"  {model.name:<16} {said}")
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{shown}:{listener.getsockname()[1]}"
    print(f"page {address}/   docs {address}/docs   stop with Ctrl-C", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down already when it raises this
        uvicorn.Server(uvicorn.Config(app)).run(sockets=[listener])
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("python -m serving", description="Serves every bundle over HTTP.")
    default_port, default_host = os.environ.get("PORT") or "8000", os.environ.get("HOST") or "127.0.0.1"
    options.add_argument("--port", type=port, default=default_port, help="0 for any free one (PORT, else 8000)")
    options.add_argument("--host", default=default_host, help="0.0.0.0 to be reached from outside (HOST)")
    options.add_argument(
        "--bundles", type=Path, default=Path("artifacts"), metavar="FOLDER", help="holds <project>/bundle (artifacts)"
    )
    return options


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; expected a number from 0 to 65535")
    return int(text)


def fail(code: int, message: str) -> int:
    print(f"serving: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
