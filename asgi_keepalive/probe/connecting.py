"""From an URL to an open connection, step by step, and each step on the clock."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from .client import Connection
from .facts import Handshake
from .target import Target
from .wire import Wire

LONGEST_HEAD = 65536
"""Bytes that the head of a response may have."""

SPEAKING = "server", "via", "alt-svc", "location"
SPEAKING_PREFIXES = "x-", "cf-", "fly-", "fastly-", "akamai-"
"""Headers by which servers and proxies speak of themselves."""


class NotConnected(Exception):
    """No connection could be made; the text is the reason."""


@asynccontextmanager
async def connected(
    target: Target,
    handshake: Handshake | None = None,
    *,
    receive_buffer: int | None = None,
) -> AsyncIterator[Connection]:
    """Have a connection in this context.

    Args:
        target: The endpoint.
        handshake: Takes in what is seen on the way.
        receive_buffer: Bytes that the kernel may take in while nothing is read; `None` for its
            own choice.

    Raises:
        NotConnected: There is no way to it, or it refuses.
    """
    seen = handshake or Handshake()
    step = Steps(target, seen, receive_buffer)
    try:
        try:
            async with asyncio.timeout(target.timeout):
                connection = await step.connect()
                if target.message is not None:
                    await connection.send_text(target.message)
        except NotConnected as error:
            seen.error = str(error)
            raise
        except TimeoutError:
            seen.error = f"{step.name}: nothing came within {target.timeout:g} s"
            raise NotConnected(seen.error) from None
        except (OSError, UnicodeError) as error:
            seen.error = f"{step.name}: {_reason(error)}"
            raise NotConnected(seen.error) from None
        yield connection
        await connection.leave()
    finally:
        await step.close()


class Steps:
    """The steps from an URL to an open connection.

    Attributes:
        name: That of the step which is being done.
    """

    def __init__(self, target: Target, seen: Handshake, receive_buffer: int | None) -> None:
        self.name = "DNS"
        self._target = target
        self._seen = seen
        self._receive_buffer = receive_buffer
        self._socket: socket.socket | None = None
        self._wire: Wire | None = None

    async def connect(self) -> Connection:
        """Do all steps."""
        uri, seen = self._target.uri, self._seen
        self._began = monotonic()
        addresses = await asyncio.get_running_loop().getaddrinfo(
            uri.host, uri.port, type=socket.SOCK_STREAM
        )
        seen.dns = self._next("TCP")
        sock = await self._tcp([(one[0], one[4]) for one in addresses])
        seen.tcp = self._next("TLS")
        wire = self._wire = Wire(sock, self._target.tls, uri.host, self._target.timeout)
        seen.tls_version = await wire.shake_hands()
        tls = self._next("upgrade")
        seen.tls = tls if seen.tls_version else None
        return await self._upgrade(wire)

    async def close(self) -> None:
        """Let go of the socket."""
        if self._wire is not None:
            await self._wire.close()
        elif self._socket is not None:
            self._socket.close()

    def _next(self, name: str) -> float:
        """Begin the next step, and return how long this one has taken, in seconds."""
        now = monotonic()
        self.name, took, self._began = name, now - self._began, now
        return took

    async def _tcp(self, addresses: list[tuple[int, tuple[object, ...]]]) -> socket.socket:
        """Connect to the first address that answers."""
        error = OSError("the name has no address")
        for family, address in addresses:
            sock = self._socket = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            try:
                # The first one may lead nowhere.
                async with asyncio.timeout(self._target.timeout / len(addresses)):
                    await asyncio.get_running_loop().sock_connect(sock, address)
            except OSError as refused:
                sock.close()
                error = refused
            else:
                host, port = address[:2]
                self._seen.address = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
                return sock
        raise error

    async def _upgrade(self, wire: Wire) -> Connection:
        protocol = _protocol(self._target)
        request = protocol.connect()
        for name, value in self._target.headers:
            if name.lower() in ("host", "authorization") and name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        protocol.send_request(request)
        await wire.send(b"".join(protocol.data_to_send()))
        received = b""
        while b"\r\n\r\n" not in received:
            if len(received) > LONGEST_HEAD:
                raise NotConnected("upgrade: the head of the response has no end")
            if not (data := await wire.receive(monotonic() + self._target.timeout)):
                raise NotConnected(f"upgrade: {wire.how} before a response had come{_hint(wire)}")
            received += data
            if not received.startswith(b"HTTP/"[: len(received)]):
                raise NotConnected(f"upgrade: no HTTP comes{_hint(wire)}")
        self._seen.upgrade = self._next("open")
        head, _, rest = received.partition(b"\r\n\r\n")
        _read_head(self._seen, head)
        return self._opened(wire, protocol, head, rest)

    def _opened(self, wire: Wire, protocol: ClientProtocol, head: bytes, rest: bytes) -> Connection:
        status, http = self._seen.status, self._seen.http
        if status != 101:
            raise NotConnected(
                f"upgrade: the response is {http} {status}" if status else "upgrade: no HTTP comes"
            )
        protocol.receive_data(head + b"\r\n\r\n")
        protocol.events_received()
        if protocol.handshake_exc is not None:
            cause = protocol.handshake_exc.__cause__ or protocol.handshake_exc
            raise NotConnected(f"upgrade: {cause}")
        protocol.data_to_send()
        return Connection(wire, protocol, rest)


def _protocol(target: Target) -> ClientProtocol:
    return ClientProtocol(
        target.uri,
        extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)],
        subprotocols=[Subprotocol(name) for name in target.subprotocols] or None,
        max_size=2**24,
    )


def _read_head(seen: Handshake, head: bytes) -> None:
    """Take in the head of the response."""
    first, *lines = head.decode("latin-1").split("\r\n")
    http, _, rest = first.partition(" ")
    seen.http = http
    seen.status = int(rest[:3]) if rest[:3].isdecimal() else None
    for line in lines:
        name, _, value = line.partition(":")
        lower = name.lower()
        if lower in SPEAKING or lower.startswith(SPEAKING_PREFIXES):
            seen.headers.append((name, value.strip()))
        elif lower == "sec-websocket-extensions":
            seen.extensions = value.strip()
        elif lower == "sec-websocket-protocol":
            seen.subprotocol = value.strip()


def _hint(wire: Wire) -> str:
    """Return what may be the cause if no HTTP comes."""
    return "" if wire.secure else "; perhaps it wants TLS, wss:// instead of ws://"


def _reason(error: Exception) -> str:
    """Return what has gone wrong, in as few words as possible."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        return f"{reason}; perhaps it speaks no TLS, ws:// instead of wss://"
    if isinstance(error, OSError) and (error.errno or 0) > 0:  # asyncio has words of its own
        return os.strerror(error.errno or 0)
    return getattr(error, "strerror", None) or str(error)
