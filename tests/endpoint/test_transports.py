"""The transports that can be taken over."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from asgi_keepalive.endpoint.transports import CALLED, OVER_TLS, bound_unsent, missing_methods

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
