"""How the end of a connection is told, with TLS and without."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.probe.wire import Wire, _name

from ..support.tcp import Pair, fill

SOON = 5.0


@pytest.fixture
def wire(pair: Pair) -> Wire:
    pair[0].setblocking(False)
    return Wire(pair[0], None, "localhost", 0.1)


@pytest.fixture
def far(pair: Pair) -> socket.socket:
    return pair[1]


async def received(wire: Wire) -> bytes | None:
    return await wire.receive(time.monotonic() + SOON)


def test_data_and_fin(wire: Wire, far: socket.socket) -> None:
    async def scenario() -> None:
        assert await wire.receive(time.monotonic() + 0.01) is None
        far.sendall(b"hello")
        assert await received(wire) == b"hello"
        far.close()
        assert await wire.hung_up(time.monotonic() + SOON)
        assert await received(wire) == b""
        assert wire.how == "FIN"
        assert await received(wire) == b""
        await wire.close()

    asyncio.run(scenario())


def test_nothing_is_lost_at_a_deadline(wire: Wire, far: socket.socket) -> None:
    async def scenario() -> None:
        for sent in b"one", b"two", b"three":
            assert await wire.receive(time.monotonic() + 0.01) is None
            far.sendall(sent)
            await asyncio.sleep(0.01)
            assert await wire.receive(time.monotonic()) is None, "this has passed"
            assert await received(wire) == sent
        await wire.receive(time.monotonic() + 0.01)
        await wire.close()

    asyncio.run(scenario())


def test_a_reset_that_sending_meets(wire: Wire, far: socket.socket) -> None:
    async def scenario() -> None:
        reset_on_close(far)
        far.close()
        await wire.send(b"hello")
        assert await received(wire) == b""
        assert wire.how == "RST"
        await wire.close()

    asyncio.run(scenario())


def test_a_reset_that_reading_meets(wire: Wire, far: socket.socket) -> None:
    async def scenario() -> None:
        assert await wire.receive(time.monotonic() + 0.01) is None
        reset_on_close(far)
        far.close()
        assert await received(wire) == b""
        assert wire.how == "RST"
        await wire.close()

    asyncio.run(scenario())


def test_sending_does_not_take_for_ever(wire: Wire, pair: Pair) -> None:
    near, far = pair

    async def scenario() -> None:
        fill(near)
        await wire.send(b"hello")
        far.sendall(b"hello")
        assert await received(wire) == b"hello"
        assert not await wire.hung_up(time.monotonic())
        await wire.close()

    asyncio.run(scenario())


Serve = Callable[[Callable[[ssl.SSLSocket], None]], None]


@pytest.fixture
def serve(pair: Pair, certificate: tuple[ssl.SSLContext, Path]) -> Iterator[Serve]:
    """Do a handshake of TLS at the far end, and something then, in a thread."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1])
    threads = []
    done = threading.Event()

    def serve(then: Callable[[ssl.SSLSocket], None]) -> None:
        def run() -> None:
            with context.wrap_socket(pair[1], server_side=True) as secured:
                then(secured)
                done.wait(SOON)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield serve
    done.set()
    for thread in threads:
        thread.join(SOON)


def tls_and_tcp(far: ssl.SSLSocket) -> None:
    close_notify(far)
    fin(far)


def tls_and_reset(far: ssl.SSLSocket) -> None:
    close_notify(far)
    reset(far)


def close_notify(far: ssl.SSLSocket) -> None:
    far.setblocking(False)
    with suppress(ssl.SSLWantReadError):  # the client does not answer it
        far.unwrap()


def fin(far: ssl.SSLSocket) -> None:
    socket.socket(fileno=far.detach()).close()


def reset(far: ssl.SSLSocket) -> None:
    raw = socket.socket(fileno=far.detach())
    reset_on_close(raw)
    raw.close()


def garbage(far: ssl.SSLSocket) -> None:
    with socket.socket(fileno=far.detach()) as raw:
        raw.sendall(b"no TLS at all")


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (close_notify, "close_notify"),
        (tls_and_tcp, "FIN"),
        (tls_and_reset, "RST"),
        (fin, "FIN"),
        (reset, "RST"),
        (garbage, "WRONG_VERSION_NUMBER RECORD_LAYER_FAILURE"),
    ],
)
def test_tls(
    pair: Pair,
    serve: Serve,
    tls: ssl.SSLContext,
    end: Callable[[ssl.SSLSocket], None],
    how: str,
) -> None:
    def then(far: ssl.SSLSocket) -> None:
        far.sendall(far.recv(99))
        far.recv(99)
        end(far)

    async def scenario() -> None:
        pair[0].setblocking(False)
        wire = Wire(pair[0], tls, "localhost", 1)
        serve(then)
        assert await wire.shake_hands() == "TLSv1.3"
        await wire.send(b"hello")
        assert await received(wire) == b"hello"
        await wire.send(b"bye")
        assert await received(wire) == b""
        assert wire.how in how.split()
        await wire.close()

    asyncio.run(scenario())


def test_an_end_in_the_handshake_of_tls(pair: Pair, tls: ssl.SSLContext) -> None:
    async def scenario() -> None:
        pair[0].setblocking(False)
        wire = Wire(pair[0], tls, "localhost", 1)
        pair[1].shutdown(socket.SHUT_WR)
        with pytest.raises(ssl.SSLEOFError):
            await wire.shake_hands()
        await wire.close()

    asyncio.run(scenario())


def test_other_errors() -> None:
    assert _name(OSError(errno.ETIMEDOUT, "timed out")) == "ETIMEDOUT"
    assert _name(OSError("odd")) == "odd"
    assert _name(BrokenPipeError()) == "RST"
