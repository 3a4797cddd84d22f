"""Joining uvicorn's protocols, and where that is declined."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from asgi_keepalive.endpoint import libraries
from asgi_keepalive.extension import Server
from asgi_keepalive.servers import find
from asgi_keepalive.servers.uvicorn import _join, attach, joining, legacy, sansio, wsproto

from ..support.client import TEXT, frame
from ..support.fake_loop import in_no_time, ticks
from ..support.uvicorn import Bare, Transport, connected, unused

HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

NEWER = [(WebSocketsSansIOProtocol, sansio), (WSProtocol, wsproto)]

uvicorns = pytest.mark.parametrize(
    ("original", "module"),
    [*NEWER, (WebSocketProtocol, legacy)],
    ids=["sansio", "wsproto", "legacy"],
)


def is_untouched(protocol: Any, transport: Any, cls: Any) -> bool:
    return (
        type(protocol) is cls
        and protocol.transport is transport
        and transport.protocol in (protocol, None)
    )


@uvicorns
class TestAttach:
    @in_no_time
    async def test_to_one_of_uvicorns_own(self, original: Any, module: Any) -> None:
        protocol, transport = connected(original)
        assert isinstance(attach(protocol, unused, unused), Server)
        assert protocol.transport is not transport

    @in_no_time
    async def test_every_attribute_counts(
        self, original: Any, module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "transport" in module.TOUCHED
        for name in module.TOUCHED:
            protocol, transport = connected(original)
            with monkeypatch.context() as patch:
                for place in protocol, *type(protocol).__mro__:
                    if name in vars(place):
                        patch.delattr(place, name)
                assert attach(protocol, unused, unused) is None, name
                assert joining.unexpected(protocol, module.TOUCHED) == [name]
            assert is_untouched(protocol, transport, original)

    @in_no_time
    async def test_declines_a_transport_that_lacks_a_method(
        self, original: Any, module: Any
    ) -> None:
        """As uvicorn's own tests have one."""
        transport: Any = Bare()
        protocol, _ = connected(original, to=transport)
        assert attach(protocol, unused, unused) is None
        assert is_untouched(protocol, transport, original)

    @in_no_time
    async def test_declines_a_transport_that_only_inherits_a_method(
        self, original: Any, module: Any
    ) -> None:
        class Mock(Transport):
            abort = asyncio.Transport.abort

        protocol, _ = connected(original, to=Mock())
        assert attach(protocol, unused, unused) is None
        assert joining.unexpected(protocol, module.TOUCHED) == ["transport.abort"]

    @in_no_time
    async def test_declines_what_is_no_event_loop(self, original: Any, module: Any) -> None:
        protocol, _ = connected(original)
        protocol.loop = object()
        assert attach(protocol, unused, unused) is None
        assert joining.unexpected(protocol, module.TOUCHED) == ["loop"]

    @in_no_time
    async def test_declines_a_subclass(self, original: Any, module: Any) -> None:
        """It may have changed what the module rests on."""
        mine = type("Mine", (original,), {})
        protocol, transport = connected(mine)
        assert attach(protocol, unused, unused) is None
        # So it does where a subclass passes for the original.
        assert module.join(protocol, unused, unused) is None
        assert is_untouched(protocol, transport, mine)

    @in_no_time
    async def test_declines_what_it_cannot_import(
        self, original: Any, module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A version of uvicorn, or of the library beneath it, that has moved things."""
        protocol, transport = connected(original)
        monkeypatch.setitem(sys.modules, module.__name__, None)
        _join.cache_clear()
        try:
            assert attach(protocol, unused, unused) is None
        finally:
            _join.cache_clear()
        assert is_untouched(protocol, transport, original)


@pytest.mark.parametrize(
    ("original", "name", "module"),
    [
        (WebSocketsSansIOProtocol, "websockets_is_known", sansio),
        (WSProtocol, "wsproto_is_known", wsproto),
    ],
    ids=["sansio", "wsproto"],
)
@in_no_time
async def test_library_that_is_different_inside_is_declined(
    original: Any, name: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(libraries, name)() is True
    monkeypatch.setattr(module, name, lambda: False)
    protocol, transport = connected(original)
    assert attach(protocol, unused, unused) is None
    assert is_untouched(protocol, transport, original)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    scope["app"].append(list(scope["extensions"]))
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": (await receive())["text"]})


async def works_as_its_base(cls: Any, *, to: Any = None) -> None:
    """Assert that a class of ours declares nothing, and does what uvicorn's own does."""
    extensions: list[list[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echo({**scope, "app": extensions}, receive, send)

    protocol, transport = connected(cls, app, to=to)
    protocol.data_received(HANDSHAKE)
    await ticks(20)
    before = len(transport.written)
    protocol.data_received(frame(TEXT, b"hello"))
    await ticks(20)
    assert transport.written[before:].startswith(b"\x81\x05hello")
    assert protocol.transport is transport
    protocol.connection_lost(None)
    await ticks(20)
    assert extensions == [["websocket.http.response"]]


@uvicorns
class TestExplicitly:
    """`--ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol`."""

    @pytest.fixture(autouse=True)
    def fresh(self) -> Any:
        joining._warn.cache_clear()
        yield
        joining._warn.cache_clear()

    @in_no_time
    async def test_what_does_not_fit_works_as_its_base(
        self,
        original: Any,
        module: Any,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(module, "TOUCHED", (*module.TOUCHED, "renamed"))
        for _ in range(2):
            await works_as_its_base(module.KeepaliveProtocol)
        [warning] = caplog.messages
        assert f"--ws {module.__name__}:KeepaliveProtocol works as uvicorn's own class" in warning
        assert f"uvicorn {uvicorn.__version__} is not as" in warning
        assert "(renamed)" in warning

    @pytest.mark.parametrize("way", ["not there", "not awaited", "with an argument"])
    @in_no_time
    async def test_run_asgi_that_is_another(
        self,
        original: Any,
        module: Any,
        way: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def with_an_argument(self: Any, app: Any) -> None:
            raise AssertionError("never called")

        if way == "not there":
            monkeypatch.delattr(original, "run_asgi")
        elif way == "not awaited":
            monkeypatch.setattr(original, "run_asgi", lambda self: None)
        else:
            monkeypatch.setattr(original, "run_asgi", with_an_argument)
        protocol, transport = connected(module.KeepaliveProtocol)
        assert protocol.transport is transport
        assert not protocol.keepalive_fits
        [warning] = caplog.messages
        assert "(run_asgi)" in warning

    @in_no_time
    async def test_surroundings_that_do_not_fit(
        self, original: Any, module: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As uvicorn's own tests have them."""
        protocol, _ = connected(module.KeepaliveProtocol, to=Bare())
        assert not protocol.keepalive_fits
        [warning] = caplog.messages
        assert "transport.abort" in warning

    @in_no_time
    async def test_subclass_declares_the_extension_itself(self, original: Any, module: Any) -> None:
        mine = type("Mine", (module.KeepaliveProtocol,), {})
        protocol, _ = connected(mine)
        assert protocol.keepalive_fits
        scope: Any = {"extensions": {"websocket.ping": {"take_over": print, "ping": print}}}
        assert attach(protocol, unused, unused) is None
        server = find(scope, unused, unused)
        assert isinstance(server, Server)
        assert (server.receive, server.send) == (unused, unused)


class TestWhatIsStillReadWhileItCloses:
    """One read may bring more than fits into a turn."""

    @pytest.mark.parametrize(("original", "module"), NEWER, ids=["sansio", "wsproto"])
    @pytest.mark.parametrize("has_closed", [False, True])
    @in_no_time
    async def test_tells_nothing_more(self, original: Any, module: Any, has_closed: bool) -> None:
        protocol, _ = connected(original)
        server = attach(protocol, protocol.receive, protocol.send)
        assert isinstance(server, Server)
        adapter: Any = server.receive.__self__._reading._adapter  # type: ignore[attr-defined]
        protocol.close_sent = has_closed
        adapter.transport.close()
        adapter.peer_closed(1000, "")
        if has_closed:
            adapter.peer_failed(1002, "")
        assert protocol.queue.unread == 0


class TestBeforeUvicornIsReady:
    """Eager tasks run an application before uvicorn has given the connection to its protocol."""

    @pytest.mark.parametrize(("original", "module"), NEWER, ids=["sansio", "wsproto"])
    @in_no_time
    async def test_a_protocol_is_not_joined_yet(self, original: Any, module: Any) -> None:
        protocol, transport = connected(original)
        transport.protocol = "that of HTTP"
        assert attach(protocol, protocol.receive, protocol.send) is None
        assert type(protocol) is original
        assert protocol.transport is transport
        transport.protocol = protocol
        assert isinstance(attach(protocol, protocol.receive, protocol.send), Server)

    @pytest.mark.parametrize(("original", "module"), NEWER, ids=["sansio", "wsproto"])
    @in_no_time
    async def test_a_class_of_ours_waits_a_turn(self, original: Any, module: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append((scope["extensions"].keys(), protocol.transport.get_protocol()))

        seen: list[Any] = []
        protocol, transport = connected(module.KeepaliveProtocol, app)
        transport.protocol = "that of HTTP"
        protocol.data_received(HANDSHAKE)
        await asyncio.sleep(0)
        assert seen == []
        transport.protocol = protocol
        await ticks()
        [(extensions, its_protocol)] = seen
        assert "websocket.ping" in extensions
        assert its_protocol is protocol
