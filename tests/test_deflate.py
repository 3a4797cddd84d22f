"""Compressed messages in fragments, with control frames between these: they arrive as sent."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import wsproto
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Message, Ping, Pong
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.servers.deflate import keep_messages_whole

from .conftest import Reports
from .support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, frame
from .support.server import running
from .support.serving import serving

RSV1 = 0x40
"""What marks a compressed message, in the first byte of its first frame (RFC 7692 6)."""

CONTINUATION = 0


class Deflater:
    """A client's side of permessage-deflate."""

    def __init__(self, *, takeover: bool = True) -> None:
        self._takeover = takeover
        self._compressor = self._new()

    def _new(self) -> Any:
        return zlib.compressobj(wbits=-15)

    def __call__(self, message: bytes) -> bytes:
        if not self._takeover:
            self._compressor = self._new()
        data: bytes = self._compressor.compress(message)
        data += self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(b"\x00\x00\xff\xff")


def fragments(opcode: int, data: bytes, *, compressed: bool, cuts: list[int]) -> Iterator[bytes]:
    """Yield the frames of a message, cut at these places, some of them perhaps twice."""
    ends = [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    start = 0
    for number, end in enumerate(ends):
        first = opcode if number == 0 else CONTINUATION
        one = frame(first, data[start:end], fin=number == len(ends) - 1)
        yield bytes((one[0] | RSV1, *one[1:])) if compressed and number == 0 else one
        start = end


def server_side(*, takeover: bool = True) -> Connection:
    extension = PerMessageDeflate()
    accepted = extension.accept(
        "permessage-deflate" + ("" if takeover else "; client_no_context_takeover")
    )
    assert accepted is not None
    connection = Connection(ConnectionType.SERVER, [extension])
    keep_messages_whole(connection)
    return connection


def received(connection: Connection, stream: bytes, size: int) -> tuple[list[Any], list[Any]]:
    """Return the messages that arrive in such pieces, and of control frames name and content."""
    messages: list[Any] = []
    controls: list[Any] = []
    unfinished: Any = None
    for start in range(0, len(stream), size):
        connection.receive_data(stream[start : start + size])
        for event in connection.events():
            if isinstance(event, Message):
                unfinished = event.data if unfinished is None else unfinished + event.data
                if event.message_finished:
                    messages.append(unfinished)
                    unfinished = None
            elif isinstance(event, CloseConnection):
                controls.append(("CloseConnection", event.code))
            else:
                assert isinstance(event, Ping | Pong)
                controls.append((type(event).__name__, bytes(event.payload)))
    return messages, controls


control_frames = st.lists(
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=10)), max_size=2
)
messages = st.tuples(
    st.one_of(st.text(max_size=60), st.binary(max_size=60), st.just(b"repeated " * 300)),
    st.booleans(),  # whether it is compressed
    st.lists(st.integers(0, 1000), max_size=4),  # where it is cut
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(messages, st.lists(control_frames, min_size=5, max_size=5)), max_size=5),
    st.booleans(),
    st.integers(1, 200),
)
def test_whatever_goes_between(stream: Any, takeover: bool, size: int) -> None:
    deflate = Deflater(takeover=takeover)
    sent = b""
    texts, controls = [], []
    for (message, compressed, cuts), between in stream:
        texts.append(message)
        data = message.encode() if isinstance(message, str) else message
        opcode = TEXT if isinstance(message, str) else BINARY
        data = deflate(data) if compressed else data
        parts = fragments(opcode, data, compressed=compressed, cuts=cuts)
        for part, control in zip(parts, between, strict=False):
            sent += part
            for control_opcode, payload in control:
                sent += frame(control_opcode, payload)
                controls.append(("Ping" if control_opcode == PING else "Pong", payload))
    assert received(server_side(takeover=takeover), sent, size) == (texts, controls)


PARTS = list(fragments(TEXT, Deflater()(b"a message " * 50), compressed=True, cuts=[9]))


class TestControlFrames:
    """What else they may be."""

    def test_close_in_the_midst_of_a_message(self) -> None:
        sent = PARTS[0] + frame(CLOSE, b"\x0f\xa0bye")
        assert received(server_side(), sent, len(sent)) == ([], [("CloseConnection", 4000)])

    def test_compressed_one_is_an_error(self) -> None:
        ping = frame(PING, b"x")
        sent = PARTS[0] + bytes((ping[0] | RSV1, *ping[1:]))
        error = ("CloseConnection", CloseReason.PROTOCOL_ERROR)
        assert received(server_side(), sent, len(sent)) == ([], [error])

    def test_compressed_one_is_the_same_error_as_by_itself(self) -> None:
        extension = PerMessageDeflate()
        extension.accept("permessage-deflate")
        reasons = []
        for connection in server_side(), Connection(ConnectionType.SERVER, [extension]):
            connection.receive_data(frame(PING, b"x").replace(b"\x89", b"\xc9", 1))
            reasons += [getattr(event, "reason", None) for event in connection.events()]
        assert reasons == ["error in extension"] * 2

    def test_message_that_does_not_inflate_is_an_error(self) -> None:
        sent = PARTS[0] + frame(PING) + frame(CONTINUATION, b"\xff" * 20)
        error = ("CloseConnection", CloseReason.INVALID_FRAME_PAYLOAD_DATA)
        assert received(server_side(), sent, len(sent)) == ([], [("Ping", b""), error])


class TestConnectionsThatAreLeftAlone:
    def test_without_compression(self) -> None:
        connection = Connection(ConnectionType.SERVER, [PerMessageDeflate()])  # not accepted
        keep_messages_whole(connection)
        assert connection._proto.extensions == []

    def test_without_a_handshake(self) -> None:
        keep_messages_whole(wsproto.WSConnection(ConnectionType.SERVER).connection)

    def test_with_an_extension_of_another_class(self) -> None:
        class Other(PerMessageDeflate):
            pass

        extension = Other()
        extension.accept("permessage-deflate")
        keep_messages_whole(Connection(ConnectionType.SERVER, [extension]))
        assert type(extension) is Other

    def test_of_a_library_that_is_different_inside(self) -> None:
        connection: Any = object()
        keep_messages_whole(connection)


EXPLICIT = "asgi_keepalive.servers.uvicorn.wsproto:KeepaliveProtocol"


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize(
    "ws", ["hypercorn", "wsproto", EXPLICIT], ids=["hypercorn", "wsproto", "explicit"]
)
def test_upload_that_is_pinged(ws: str, loop: str, reports: Reports, takeover: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                reports.put(event["bytes"])

    offer = "permessage-deflate" + ("" if takeover else "; client_no_context_takeover")
    pinged = KeepaliveMiddleware(app, ping_interval=0.005, ping_timeout=10)
    if ws == EXPLICIT:  # it is pinged by uvicorn itself
        server = serving(app, ws=ws, loop=loop, ws_ping_interval=0.005, ws_ping_timeout=10)
    else:
        server = serving(pinged, ws=ws, loop=loop)
    deflate = Deflater(takeover=takeover)
    with (
        running(server),
        Client(server.port, headers=f"Sec-WebSocket-Extensions: {offer}\r\n").open() as client,
    ):
        for number in range(3):
            message = random.Random(number).randbytes(200) * 20
            data = deflate(message)
            cuts = list(range(0, len(data), 40))
            for part in fragments(BINARY, data, compressed=True, cuts=cuts):
                client.socket.sendall(part)
                answer_a_ping(client)
            assert reports.get() == message


def answer_a_ping(client: Client) -> None:
    """Wait for a Ping and answer it; send one and wait for its answer."""
    client.send(PONG, client.expect(PING))
    client.send(PING, b"mine")
    assert client.answer_until(PONG) == b"mine"
