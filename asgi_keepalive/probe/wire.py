"""TCP and TLS in the client's own hands: it reads when it wants to, and sees how the end comes.

A stream of asyncio reads by itself, and tells neither FIN from RST nor a closed TLS from either.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import ssl
from time import monotonic

LOOK = 0.01
"""Seconds between looks at a connection that is not read."""

AFTER_TLS = 0.1
"""Seconds after the end of TLS in which that of TCP counts as the same."""

HANGUP = getattr(select, "POLLRDHUP", 0)
"""What to ask for besides the errors that are told anyway; only Linux has it."""


class Wire:
    """A TCP connection, and TLS on it.

    Args:
        sock: A connected socket that does not block.
        tls: What verifies the server; `None` for no TLS.
        host: The name to verify.
        timeout: Seconds that sending may take.

    Attributes:
        how: How it has ended; `None` while it has not.
        secure: Whether TLS is on it.
    """

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLContext | None, host: str, timeout: float
    ) -> None:
        self.how: str | None = None
        self.secure = tls is not None
        self._socket = sock
        self._timeout = timeout
        self._broken: str | None = None
        self._reading: asyncio.Task[bytes] | None = None  # nothing is lost if it takes long
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = (
            None
            if tls is None
            else tls.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        )

    async def shake_hands(self) -> str | None:
        """Do the handshake of TLS, and return its version; `None` without TLS."""
        if self._tls is None:
            return None
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._take_in(await self._loop.sock_recv(self._socket, 65536))
            else:
                await self._flush()
                return self._tls.version()

    async def send(self, data: bytes) -> None:
        """Send, unless the connection is broken: `receive` tells that."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._tls is None:
                    await self._loop.sock_sendall(self._socket, data)
                else:
                    self._tls.write(data)
                    await self._flush()
        except OSError as error:
            if error.errno is not None:  # otherwise it only takes too long
                self._broken = _name(error)

    async def receive(self, until: float) -> bytes | None:
        """Return what comes next, or nothing once `how` tells of the end.

        Returns:
            `None` if nothing comes until that moment of `time.monotonic()`. Nothing is lost then.
        """
        while self.how is None:
            if monotonic() >= until:  # also where data comes without end
                return None
            if (data := self._decrypted()) is not None:
                if self.how == "close_notify":
                    await self._see_the_end_of_tcp()
                return data
            reading = await self._wait(until)
            if reading.done() and (data := self._read(reading)) is not None:
                return data
        return b""

    async def _wait(self, until: float) -> asyncio.Task[bytes]:
        """Wait until something has been read, and return the task that does it in any case."""
        if self._reading is None:
            receiving = self._loop.sock_recv(self._socket, 65536)
            self._reading = asyncio.ensure_future(receiving)
        await asyncio.wait({self._reading}, timeout=until - monotonic())
        return self._reading

    async def _see_the_end_of_tcp(self) -> None:
        """See what follows the end of TLS; some wait for the client's own first."""
        reading = await self._wait(monotonic() + AFTER_TLS)
        if reading.done():
            self._reading = None
            try:
                self.how = "FIN" if not reading.result() else self.how
            except OSError as error:
                self.how = _name(error)

    async def hung_up(self, until: float) -> bool:
        """Return whether the connection ends until then, and read nothing meanwhile."""
        poll = select.poll()
        poll.register(self._socket, HANGUP)
        while not poll.poll(0):
            if monotonic() >= until:
                return False
            await asyncio.sleep(LOOK)
        return True

    async def close(self) -> None:
        """Close the socket."""
        if self._reading is not None:
            # The event loop has to let go of the descriptor before another socket gets it.
            self._reading.cancel()
            await asyncio.wait({self._reading})
        self._socket.close()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def _read(self, reading: asyncio.Task[bytes]) -> bytes | None:
        """Take in what has been read; return it, unless TLS is to do that."""
        self._reading = None
        try:
            data = reading.result()
        except OSError as error:
            self.how = _name(error)
            return b""
        if self._tls is None:
            # A reset that sending has met is told only once.
            self.how = None if data else self._broken or "FIN"
            return data
        self._take_in(data)
        return None

    def _take_in(self, data: bytes) -> None:
        """Give TLS what has been read."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypted(self) -> bytes | None:
        """Return what TLS has ready, or nothing at its end."""
        if self._tls is None:
            return None
        try:
            data = self._tls.read(65536)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLEOFError:
            self.how = self._broken or "FIN"
            return b""
        except ssl.SSLError as error:
            self.how = _name(error)
            return b""
        if not data:
            self.how = "close_notify"
        return data

    async def _flush(self) -> None:
        await self._loop.sock_sendall(self._socket, self._outgoing.read())


def _name(error: OSError) -> str:
    """Return how a connection has ended."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "RST"
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return errno.errorcode.get(error.errno or 0, str(error))
