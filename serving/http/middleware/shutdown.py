"""Shutdown of the server."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ShutdownMiddleware:
    """Calls `closers` when the server stops, after everything else."""

    def __init__(self, app: ASGIApp, closers: list[Callable[[], Any]]) -> None:
        self.app, self.closers = app, closers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_after(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                for close in self.closers:
                    await asyncio.to_thread(close)
            await send(message)

        await self.app(scope, receive, send_after)
