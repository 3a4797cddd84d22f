"""What a probe has seen. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Ending:
    """How a connection ended, in the client's eyes.

    Attributes:
        after: Seconds from the open connection to its first sign of an end.
        how: How TCP ended: `FIN`, `RST`, `close_notify` if only TLS did, `open` if not even that
            followed a Close frame, or the name of the system's error.
        close_code: That of the Close frame; `None` if no Close frame came, and 1005 if it had none.
        close_reason: That of the Close frame.
        error: Why the client had to fail the connection, as RFC 6455 calls it.
        asked: Whether the end came only in answer to something that the client sent.
    """

    after: float
    how: str
    close_code: int | None = None
    close_reason: str = ""
    error: str | None = None
    asked: bool = False


@dataclass
class Handshake:
    """How the first connection was made.

    Attributes:
        address: The address and port that it was made to.
        dns: Seconds until the name was resolved.
        tcp: Seconds that connecting took.
        tls: Seconds that the handshake of TLS took; `None` without TLS.
        upgrade: Seconds from the request to the head of the response.
        tls_version: That of TLS.
        http: The version of the response.
        status: The status of the response.
        extensions: What the server has accepted; permessage-deflate was offered.
        subprotocol: What the server has chosen.
        headers: Those by which servers and proxies speak of themselves.
        error: The reason why no connection could be made.
    """

    address: str | None = None
    dns: float | None = None
    tcp: float | None = None
    tls: float | None = None
    upgrade: float | None = None
    tls_version: str | None = None
    http: str | None = None
    status: int | None = None
    extensions: str | None = None
    subprotocol: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    error: str | None = None

    @property
    def done(self) -> bool:
        """Whether the connection was open."""
        return self.status == 101 and self.error is None


@dataclass
class Heartbeats:
    """The heartbeat that was sent to a client which asked as a page does.

    Attributes:
        interval: The server's `ping_interval`, as it tells pages.
        timeout: Its `ping_timeout`.
    """

    interval: float | None
    timeout: float | None


@dataclass
class ServerPing:
    """A Ping from the server.

    Attributes:
        after: When it came, in seconds since the connection was open.
        at: When it came, by the clock of the wall.
    """

    after: float
    at: float
    payload: bytes


@dataclass
class Watch:
    """A connection that answered every Ping.

    Attributes:
        seconds: For how long it was watched.
        messages: How many messages came.
        between: How often the client sent a Ping of its own; `None` if it did not.
        earlier: How a connection had ended before, on which it sent none.
        cut_short: Whether the user ended the probe meanwhile.
    """

    seconds: float = 0.0
    pings: list[ServerPing] = field(default_factory=list)
    messages: int = 0
    ending: Ending | None = None
    between: float | None = None
    earlier: Ending | None = None
    cut_short: bool = False


@dataclass
class Trial:
    """A connection whose client misbehaved.

    Attributes:
        waited: For how long it was watched, in seconds.
        ping_after: When the first Ping came, in seconds since the connection was open; `None`
            without one, or if nothing was read.
        ending: How it ended; `None` if it was still open.
        unread: How many bytes were waiting in the end; `None` if everything was read.
    """

    waited: float
    ping_after: float | None
    ending: Ending | None
    unread: int | None = None


@dataclass
class Rung:
    """A connection of the ladder, or the one beside it that was kept busy.

    Attributes:
        goal: For how long it was to be silent, in seconds.
        life: For how long it was seen, in seconds.
        silence: The longest time, or the last if it was cut, in which nothing passed either way.
        own_silence: The same of what the client sent.
        pings: How many Pings of the server it answered.
        answered: Whether a Ping in the end was answered; `None` if it came to none.
        ending: How it ended; `None` if it was still open.
    """

    goal: float
    life: float = 0.0
    silence: float = 0.0
    own_silence: float = 0.0
    pings: int = 0
    answered: bool | None = None
    ending: Ending | None = None


@dataclass
class Facts:
    """All that a probe has seen; what it has not come to is `None` or empty.

    Attributes:
        heartbeats: `None` if a client that asks as a page does gets no heartbeat.
        round_trips: Those of the client's own Pings, in seconds.
        lost: How many of its Pings were not answered in time.
        silent: A client that answers nothing.
        wrong: A client that answers each Ping with a Pong of another payload.
        unread: A client that reads nothing.
        ladder: Connections that were silent for longer and longer.
        busy: A connection that was never silent, beside the ladder.
        refused: Why a later connection was not made, by the name of its part.
        interrupted: Whether the user ended the probe.
    """

    url: str
    handshake: Handshake = field(default_factory=Handshake)
    heartbeats: Heartbeats | None = None
    round_trips: list[float] = field(default_factory=list)
    lost: int = 0
    watch: Watch | None = None
    silent: Trial | None = None
    wrong: Trial | None = None
    unread: Trial | None = None
    ladder: list[Rung] = field(default_factory=list)
    busy: Rung | None = None
    refused: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
