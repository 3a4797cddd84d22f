"""Taking a connection from the library of a server: what it holds, and what inflates."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate

from asgi_keepalive.endpoint import libraries
from asgi_keepalive.endpoint.inflate import EMPTY_BLOCK, Inflater
from asgi_keepalive.endpoint.libraries import (
    REQUEST,
    inflater_of_websockets,
    inflater_of_wsproto,
    unparsed_by_websockets,
    unparsed_by_wsproto,
    websockets_is_known,
    wsproto_is_known,
)
from asgi_keepalive.endpoint.reader import Reader

from ..faults.differential.frames import CONTINUATION, raw
from ..support.client import BINARY, PING, TEXT
from ..support.reader import read

OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; client_max_window_bits=10",
]


def websockets_side(offer: str | None = None) -> Any:
    """Return a server's protocol that has accepted a client."""
    protocol = ServerProtocol(
        extensions=[ServerPerMessageDeflateFactory(client_max_window_bits=15)] if offer else None
    )
    header = f"Sec-WebSocket-Extensions: {offer}\r\n".encode() if offer else b""
    protocol.receive_data(REQUEST[:-2] + header + b"\r\n")
    [request] = protocol.events_received()
    protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
    return protocol


def wsproto_side(offer: str | None = None) -> Any:
    """Return a server's connection, as it is after such a handshake."""
    extension = PerMessageDeflate()
    if offer:
        assert extension.accept(offer) is not None
    return Connection(ConnectionType.SERVER, [extension] if offer else [])


def events(side: Any) -> list[Any]:
    """Return what the library has parsed."""
    return list(side.events() if isinstance(side, Connection) else side.events_received())


Side = tuple[Any, Callable[[Any], bytes | None], Callable[[Any], Inflater | None]]


@pytest.fixture(params=["websockets", "wsproto"])
def side(request: pytest.FixtureRequest) -> Any:
    """Return what makes a server's side, and the two functions for it."""
    if request.param == "websockets":
        return websockets_side, unparsed_by_websockets, inflater_of_websockets
    return wsproto_side, unparsed_by_wsproto, inflater_of_wsproto


class TestUnparsed:
    def test_nothing(self, side: Side) -> None:
        new, unparsed, _ = side
        assert unparsed(new()) == b""

    def test_after_whole_messages(self, side: Side) -> None:
        new, unparsed, _ = side
        one = new()
        one.receive_data(raw(TEXT, b"text") + raw(PING))
        assert len(events(one)) == 2
        assert unparsed(one) == b""

    @pytest.mark.parametrize("cut", range(1, 11))
    def test_in_the_midst_of_a_frame(self, side: Side, cut: int) -> None:
        """What is begun is returned, or it is to be asked again when more has come."""
        new, unparsed, _ = side
        one = new()
        frame = raw(TEXT, b"text!")
        one.receive_data(frame[:cut])
        events(one)
        begun = unparsed(one)
        if begun is None:
            one.receive_data(frame[cut:])
            assert len(events(one)) == 1
        else:
            assert begun == frame[:cut]
        assert unparsed(one) == b""

    def test_wsproto_in_the_midst_of_a_message(self) -> None:
        one = wsproto_side()
        one.receive_data(raw(TEXT, b"te", fin=False))
        assert len(events(one)) == 1
        assert unparsed_by_wsproto(one) is None
        one.receive_data(raw(CONTINUATION, b"xt"))
        assert len(events(one)) == 1
        assert unparsed_by_wsproto(one) == b""

    def test_wsproto_that_has_been_asked_for_no_events(self) -> None:
        """The reader takes all that came, and the library nothing."""
        one = wsproto_side()
        one.receive_data(raw(TEXT, b"text"))
        assert unparsed_by_wsproto(one) == raw(TEXT, b"text")
        assert events(one) == []


class TestInflater:
    def test_none_if_nothing_was_agreed(self, side: Side) -> None:
        new, _, inflater = side
        assert inflater(new()) is None

    def test_none_for_another_extension(self) -> None:
        class Other:
            name = "other"

        protocol = websockets_side()
        protocol.extensions = [Other()]
        assert inflater_of_websockets(protocol) is None
        connection = wsproto_side()
        connection._proto.extensions = [Other()]
        assert inflater_of_wsproto(connection) is None

    @pytest.mark.parametrize("offer", OFFERS)
    def test_inflates_what_was_agreed_from_the_first_message_on(
        self, side: Side, offer: str
    ) -> None:
        new, _, inflater = side
        taken = inflater(new(offer))
        assert taken is not None
        data = bytes(range(256)) * 20
        assert read(Reader(None, taken), *messages(offer, data)) == [data] * 3

    @pytest.mark.parametrize("offer", OFFERS)
    def test_goes_on_where_the_library_was(self, side: Side, offer: str) -> None:
        new, unparsed, inflater = side
        one = new(offer)
        data = bytes(range(256)) * 20
        first, *rest = messages(offer, data)
        one.receive_data(first)
        assert [bytes(event.data) for event in events(one)] == [data]
        assert unparsed(one) == b""
        taken = inflater(one)
        assert taken is not None
        assert read(Reader(None, taken), *rest) == [data] * 2

    def test_knows_the_window_and_the_context(self, side: Side) -> None:
        new, _, inflater = side
        known = []
        for offer in OFFERS:
            taken = inflater(new(offer))
            assert taken is not None
            known.append((taken._window_bits, taken._no_context_takeover))
        assert known == [(15, False), (15, True), (10, False)]


def messages(offer: str, data: bytes) -> Iterator[bytes]:
    """Yield the frames of a message that a client sends three times."""
    window_bits = 10 if "10" in offer else 15
    deflate = zlib.compressobj(wbits=-window_bits)
    for _ in range(3):
        if "no_context" in offer:
            deflate = zlib.compressobj(wbits=-window_bits)
        payload = deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
        yield raw(BINARY, payload.removesuffix(EMPTY_BLOCK), reserved=4)


class TestIsKnown:
    """A library may be different inside; then the server declines."""

    @pytest.fixture(autouse=True)
    def not_known_before(self) -> Iterator[None]:
        for is_known in websockets_is_known, wsproto_is_known:
            is_known.cache_clear()
        yield
        for is_known in websockets_is_known, wsproto_is_known:
            is_known.cache_clear()

    def test_those_that_are_installed(self) -> None:
        assert websockets_is_known()
        assert wsproto_is_known()

    def test_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert websockets_is_known()
        assert wsproto_is_known()
        monkeypatch.setitem(sys.modules, "websockets.server", None)
        monkeypatch.setitem(sys.modules, "wsproto.connection", None)
        assert websockets_is_known()
        assert wsproto_is_known()

    @pytest.mark.parametrize("module", ["websockets.server", "wsproto.connection"])
    def test_not_one_that_has_moved(self, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        assert websockets_is_known() is (module != "websockets.server")
        assert wsproto_is_known() is (module != "wsproto.connection")

    def test_not_websockets_whose_parser_is_something_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ServerProtocol, "parse", lambda self: iter([None] * 100))
        assert not websockets_is_known()

    def test_not_websockets_that_waits_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def parse(self: Any) -> Iterator[None]:
            while True:
                yield

        monkeypatch.setattr(ServerProtocol, "parse", parse)
        assert not websockets_is_known()

    def test_not_websockets_that_tells_no_extensions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = ServerProtocol.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            self.extensions = {}

        monkeypatch.setattr(ServerProtocol, "__init__", init)
        assert not websockets_is_known()

    def test_not_wsproto_that_inflates_in_another_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PerMessageDeflate, "name", "another")
        assert not wsproto_is_known()

    def test_not_wsproto_that_keeps_its_bytes_elsewhere(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(libraries, "unparsed_by_wsproto", lambda connection: b"")
        assert not wsproto_is_known()

    def test_not_wsproto_that_has_other_attributes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = Connection.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            self.__dict__["renamed"] = self.__dict__.pop("_proto")

        monkeypatch.setattr(Connection, "__init__", init)
        assert not wsproto_is_known()
