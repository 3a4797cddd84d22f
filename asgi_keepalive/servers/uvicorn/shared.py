"""What the extended protocols of uvicorn have in common."""

from __future__ import annotations

import asyncio
from typing import Any

from ...extension import EXTENSION, Event, Receive, Send
from ..speaking import Extension

TOUCHED = ("config", "loop", "ping_interval", "run_asgi", "scope", "transport")
"""The undocumented attributes of every protocol that this module rests on."""


def extended(base: Any) -> Any:
    """Return a subclass of one of uvicorn's protocols that speaks the extension.

    Not a mixin: the class of a live object can only be changed along single inheritance.
    """

    class Extended(base):  # type: ignore[misc]
        extension: Extension

        def extend(self) -> None:
            """Begin to speak the extension."""
            self.extension = Extension(self)

        def own_receive(self) -> Receive | None:
            """Return a `receive` that ends with the connection, as `send` then does, or `None`."""
            return None

        async def pass_on(self, send: Send, event: Event) -> None:
            """Pass an event of the application, but a message, to uvicorn's own `send`."""
            await send(event)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.extend()

        async def run_asgi(self) -> None:
            self.scope["extensions"][EXTENSION] = {"traffic": self.extension.traffic}
            await super().run_asgi()

        def eof_received(self) -> bool:
            super().eof_received()
            return self.extension.eof_received()

        def shutdown(self) -> None:
            # uvicorn's own would write another Close frame, which its libraries refuse.
            if not self.extension.shutdown():
                super().shutdown()

        def connection_lost(self, exc: Exception | None) -> None:
            self.extension.connection_lost()
            super().connection_lost(exc)

    return Extended
