"""The transports that can be taken over."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from asgi_keepalive.endpoint.transports import (
    CALLED,
    OVER_TLS,
    bound_unsent,
    buffered,
    missing_methods,
)

from ..support.fake_loop import in_no_time
from ..support.transport import FakeTransport


def no_method() -> None:
    pass


class TestMissing:
    @in_no_time
    async def test_nothing(self) -> None:
        assert missing_methods(FakeTransport()) == []

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_nothing_of_what_event_loops_have(self, loop: str) -> None:
        async def missing() -> list[str]:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, *listening.getsockname()
                )
            found = missing_methods(transport)
            transport.abort()
            await asyncio.sleep(0)
            return found

        factory: Any = None
        if loop == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(missing()) == []

    @pytest.mark.parametrize("name", sorted(set(CALLED) - {"get_extra_info"}))
    @in_no_time
    async def test_one_that_is_not_there(self, name: str) -> None:
        transport = FakeTransport()
        setattr(transport, name, None)
        assert missing_methods(transport) == [name]

    @pytest.mark.parametrize("name", ["abort", "can_write_eof", "pause_reading", "write"])
    @in_no_time
    async def test_one_that_is_only_inherited(self, name: str) -> None:
        """asyncio's own says only that it is not implemented."""
        body = {name: getattr(asyncio.Transport, name)}
        transport = type("Mock", (FakeTransport,), body)()
        assert missing_methods(transport) == [name]

    def test_all_of_them(self) -> None:
        assert missing_methods(object()) == list(CALLED)
        assert missing_methods(None) == list(CALLED)

    @in_no_time
    async def test_nothing_that_is_a_plain_function(self) -> None:
        transport: Any = FakeTransport()
        transport.abort = no_method
        assert missing_methods(transport) == []


class TestBoundUnsent:
    @in_no_time
    async def test_tls_buffers_less(self) -> None:
        transport = FakeTransport(tls=True)
        bound_unsent(transport)
        assert transport.limit == OVER_TLS

    @in_no_time
    async def test_transport_without_tls_stays_as_it_is(self) -> None:
        transport = FakeTransport()
        bound_unsent(transport)
        assert transport.limit is None


class TestBuffered:
    @pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_all_that_the_kernel_has_not_taken(
        self, loop: str, secure: bool, tls: ssl.SSLContext, certificate: Any
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[1])

        async def run() -> tuple[int, int, int]:
            connected = asyncio.get_running_loop().create_future()

            class Protocol(asyncio.Protocol):
                def connection_made(self, transport: asyncio.BaseTransport) -> None:
                    connected.set_result(transport)

            keys: Any = {"ssl": context} if secure else {}
            server = await asyncio.get_running_loop().create_server(
                Protocol, "127.0.0.1", 0, **keys
            )
            keys = {"ssl": tls, "server_hostname": "localhost"} if secure else {}
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1, **keys)
            transport = await connected
            while buffered(transport):  # noqa: ASYNC110 - the handshake's last
                await asyncio.sleep(0.01)
            sizes = [buffered(transport)]
            for size in 16_000_000, 1_000:
                transport.write(bytes(size))
                sizes.append(buffered(transport))
            transport.abort()
            writer.transport.abort()
            server.close()
            await asyncio.sleep(0.01)
            return sizes[0], sizes[1], sizes[2]

        factory: Any = None
        if loop == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            idle, much, more = runner.run(run())
        assert idle == 0
        assert 5_000_000 < much < 16_100_000
        assert much + 1_000 <= more < much + 1_100

    @in_no_time
    async def test_tls_of_another_kind(self) -> None:
        assert buffered(FakeTransport(can_write_eof=False, buffered=7)) == 7

    @in_no_time
    async def test_tls_of_uvloop_that_is_different(self) -> None:
        class SSLProtocol:
            __slots__ = ()

        SSLProtocol.__module__ = "uvloop.loop"
        transport: Any = FakeTransport(can_write_eof=False, buffered=7)
        transport.protocol = SSLProtocol()
        assert buffered(transport) == 7

    @in_no_time
    async def test_tls_of_asyncio_that_is_different(self) -> None:
        transport: Any = FakeTransport(can_write_eof=False, buffered=7)
        transport._ssl_protocol = object()
        assert buffered(transport) == 7
