"""The adapters here, by the same checks: what they add to each server."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from asgi_keepalive.conformance.application import adapted, app
from asgi_keepalive.conformance.outcomes import FAIL

from ..support.server import running
from ..support.serving import serving
from .serving import checked

CLASSES = {
    name: f"asgi_keepalive.servers.uvicorn.{name}:KeepaliveProtocol"
    for name in ("sansio", "wsproto", "legacy")
}
"""They declare the extension in the scope."""

FAILING = {
    # The middleware corrects there how `receive` and `send` end.
    **{(ws, secure): {"2.2", "2.3", "2.9"} for ws in ("websockets", "legacy") for secure in (0, 1)},
    # Twisted tells late of a close_notify, and has a Ping in no buffer for a moment.
    ("daphne", True): {"4.3", "5.4"},
}
"""The boxes that fail, by server and whether over TLS."""

UVICORN = {"websockets-sansio", "wsproto", "websockets"}
KEEPALIVE = 0.5


def runs() -> list[Any]:
    """Return servers, loops and whether TLS; TLS is the event loop's affair."""
    others = ["hypercorn", "daphne", "gunicorn"]
    return [
        *[
            (ws, "asyncio", secure)
            for ws in (*sorted(UVICORN), *others)
            for secure in (False, True)
        ],
        *[(ws, "uvloop", False) for ws in (*sorted(UVICORN), "hypercorn")],
        ("websockets-sansio", "uvloop", True),
        *[(name, "asyncio", False) for name in CLASSES],
    ]


@pytest.mark.parametrize(("ws", "loop", "secure"), runs())
def test_adapter_keeps_every_level(
    ws: str, loop: str, secure: bool, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    config: dict[str, Any] = {**(tls_config if secure else {})}
    is_uvicorn = ws in UVICORN or ws in CLASSES
    if is_uvicorn:
        config.update(ws_ping_interval=KEEPALIVE, ws_ping_timeout=KEEPALIVE)
    server = serving(app if ws in CLASSES else adapted, ws=CLASSES.get(ws, ws), loop=loop, **config)
    with running(server):
        result = checked(
            server, tls=tls if secure else None, keepalive=KEEPALIVE if is_uvicorn else None
        )
    failed = {box: one for box, one in result.boxes.items() if one.status == FAIL}
    assert failed.keys() == FAILING.get((ws, secure), set()), failed
    assert len(result.offered) == 8
