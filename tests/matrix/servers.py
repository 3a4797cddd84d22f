"""The servers: how each is started as its users start it, and what is asked of it there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from ..support.client import Client
from ..support.only_stream import OnlyStream

UNREAD = 5
"""How many messages a busy application leaves unread; no server reads ahead by fewer than 10."""


class Combination(NamedTuple):
    """What a cell of the table brings together."""

    loop: str
    scheme: str

    def __str__(self) -> str:
        return " ".join(self)


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        server: Its name, and what of it.
        command: Starts it; PORT and LOOP are put in.
        wss, ws: What is added; PEM is a file with the key and the certificate.
        own: Its own keepalive is tried, without the middleware.
        loops: Its event loops.
        interval, timeout: What its options, or those of the middleware, are set to, in seconds.
        coarse: By how much it may keep its own interval late, as it looks only now and then.
        close_timeout: What that of the middleware is set to.
        grace: How long it leaves its connections alone after SIGTERM.
        client: Connects to it.
        before_pong: So many bytes of messages precede the Pong of a stalled server's client.
    """

    server: str
    command: str
    wss: str
    ws: str = ""
    own: bool = False
    loops: tuple[str, ...] = ("asyncio", "uvloop")
    interval: float = 0.2
    timeout: float = 0.5
    coarse: float = 0
    close_timeout: float = 0.5
    grace: float = 0
    client: type[Client | OnlyStream] = Client
    before_pong: int = 1_000_000

    @property
    def combinations(self) -> list[Combination]:
        return [Combination(loop, scheme) for loop in self.loops for scheme in ("ws", "wss")]

    @property
    def earliest(self) -> float:
        """When a client that never answers is noticed, in seconds after its handshake."""
        return self.interval + self.timeout

    @property
    def latest(self) -> float:
        return self.earliest + self.coarse

    def arguments(self, combination: Combination, pem: Path) -> list[str]:
        """Return what to run; PORT is left to be put in."""
        added = self.wss if combination.scheme == "wss" else self.ws
        command = f"{self.command} {added}".replace("LOOP", combination.loop)
        command = command.replace("PEM", str(pem))
        return [sys.executable, "-m", *command.split()]

    def environment(self) -> dict[str, str]:
        """Return what the application has to know."""
        times = {
            "PING_INTERVAL": str(self.latest - self.timeout),
            "PING_TIMEOUT": str(self.timeout),
            "CLOSE_TIMEOUT": str(self.close_timeout),
        }
        return {**times, "OWN": "1"} if self.own else times


APP = "tests.matrix.app:app"
UVICORN = Row("uvicorn", f"uvicorn {APP} --port PORT --loop LOOP --ws ", "--ssl-certfile PEM")
HYPERCORN = Row(
    "hypercorn",
    f"hypercorn {APP} --bind 127.0.0.1:PORT --worker-class LOOP --graceful-timeout 1",
    "--certfile PEM --keyfile PEM",
    grace=1,
)
HYPERCORN_HTTP_2 = HYPERCORN._replace(
    server="hypercorn, HTTP/2",
    close_timeout=2,  # TCP has other streams, and takes so long at least
    client=OnlyStream,
    before_pong=40_000,  # a window has room for no more
)
DAPHNE = Row(
    "daphne",
    f"daphne {APP} --verbosity 0",
    "--endpoint ssl:PORT:privateKey=PEM:certKey=PEM:interface=127.0.0.1",
    "--endpoint tcp:PORT:interface=127.0.0.1",
    loops=("asyncio",),
)
GRANIAN = Row(
    "granian",
    f"granian {APP} --interface asgi --port PORT --loop LOOP",
    "--ssl-certificate PEM --ssl-keyfile PEM",
)
GUNICORN = Row(
    "gunicorn `-k asgi`",
    f"gunicorn {APP} --bind 127.0.0.1:PORT --worker-class asgi --asgi-loop LOOP "
    "--graceful-timeout 1",
    "--certfile PEM --keyfile PEM",
    grace=1,
)


def _uvicorn(protocol: str, flags: str = "", *, own: bool = False) -> Row:
    command = UVICORN.command + protocol + flags
    return UVICORN._replace(server=f"uvicorn `{protocol}`", command=command, own=own)


def _own(row: Row, flags: str, *, coarse: float = 0) -> Row:
    """Return a server with its own keepalive, which takes whole seconds only."""
    command = f"{row.command} {flags}"
    return row._replace(command=command, own=True, interval=1, timeout=1, coarse=coarse)


PROTOCOLS = ("websockets-sansio", "wsproto", "websockets")

ROWS = [
    *(_uvicorn(protocol) for protocol in PROTOCOLS),
    HYPERCORN,
    HYPERCORN_HTTP_2,
    DAPHNE,
    GRANIAN,
    GUNICORN,
    *(
        _uvicorn(protocol, " --ws-ping-interval 0.2 --ws-ping-timeout 0.5", own=True)
        for protocol in PROTOCOLS
    ),
    _own(HYPERCORN, "--websocket-ping-interval 1"),
    _own(HYPERCORN_HTTP_2, "--websocket-ping-interval 1"),
    # It looks for connections that need a Ping every 2 s.
    _own(DAPHNE, "--ping-interval 1 --ping-timeout 1", coarse=2),
]
