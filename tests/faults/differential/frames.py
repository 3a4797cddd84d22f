"""What a hostile client may put on the wire: strategies for hypothesis, and mutations of bytes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from itertools import cycle

from hypothesis import strategies as st

from ...support.client import BINARY, CLOSE, PING, PONG, TEXT, frame

CONTINUATION = 0
RIGHT_PONG = b"the Pong that the server waits for"
"""Stands in a stream for a Pong with the payload of the server's own Ping."""

LONGEST = 500
"""Bytes of a stream's longest frame, so that a segment of several arrives in one piece."""


def raw(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x0f\xa5\x33\xc9",
    length: bytes | None = None,
) -> bytes:
    """Return a frame with nothing checked.

    Args:
        reserved: RSV1, RSV2 and RSV3 as a number, RSV1 is 4.
        mask: `None` for an unmasked frame, which a client must not send (5.1).
        length: The length's field as it is to be, instead of the shortest right one.
    """
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 65536:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    second = length[0] | (0 if mask is None else 0x80)
    head = bytes([first, second]) + length[1:]
    if mask is None:
        return head + payload
    return head + mask + bytes(a ^ b for a, b in zip(payload, cycle(mask)))


def deflated(data: bytes) -> bytes:
    """Return data as a message of the permessage-deflate extension carries it (RFC 7692 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a Close frame."""
    return raw(CLOSE, code.to_bytes(2, "big") + reason)


def fragmented(opcode: int, parts: list[bytes], between: list[bytes]) -> bytes:
    """Return a message in fragments (5.4), with control frames between them."""
    last = len(parts) - 1
    frames = []
    for number, part in enumerate(parts):
        frames.append(raw(opcode if number == 0 else CONTINUATION, part, fin=number == last))
        frames.extend(between[number : number + 1])
    return b"".join(frames)


MAX_SIZE = 2**20 + 2**16
"""Bytes of the largest message that the servers take."""

NOISE = {
    "Ping": frame(PING, b"hi"),
    "Pings": frame(PING, b"hi") * 20,
    "message": frame(TEXT, b"more"),
    "Pong": frame(PONG, b"hi"),
    "half a message": frame(TEXT, b"mo", fin=False),
    "head": frame(BINARY, bytes(5000))[:100],
    "too large": frame(BINARY, bytes(MAX_SIZE + 1)),
    "broken": b"\xff\xff\xff\xff\xff\xff",
    "Close": frame(CLOSE, b"\x0f\xa1bye"),
}
"""What a client sends while its server closes."""


texts = st.text(max_size=40).map(str.encode)
reasons = st.text(max_size=30).map(str.encode)
payloads = st.binary(max_size=40) | st.sampled_from([125, 126, 127, LONGEST]).map(bytes)
controls = st.builds(
    raw, st.sampled_from([PING, PONG]), st.binary(max_size=20) | st.just(bytes(125))
)

valid = st.one_of(
    st.builds(raw, st.just(TEXT), texts),
    st.builds(raw, st.just(BINARY), payloads),
    controls,
    st.just(RIGHT_PONG),
    st.builds(
        fragmented,
        st.sampled_from([TEXT, BINARY]),
        st.lists(texts, min_size=2, max_size=5),
        st.lists(controls, max_size=4),
    ),
    # A character in two fragments.
    st.just(fragmented(TEXT, ["\N{SNOWMAN}".encode()[:1], "\N{SNOWMAN}".encode()[1:]], [])),
    # A compressed message; where the extension is not in use it is an RSV bit without meaning.
    st.builds(lambda data: raw(TEXT, deflated(data), reserved=4), texts),
)

closes = st.one_of(
    st.just(raw(CLOSE)),
    st.just(raw(CLOSE, b"\x03")),
    st.builds(
        close, st.sampled_from([1000, 1001, 1011, 3000, 4999]), texts.filter(lambda t: len(t) < 124)
    ),
    st.builds(close, st.sampled_from([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])),
    st.just(close(1000, b"\xff")),
    st.just(close(1000, bytes(124))),
)

invalid = st.one_of(
    st.builds(raw, st.sampled_from([PING, PONG]), st.just(bytes(126))),
    st.builds(raw, st.sampled_from([PING, PONG, CLOSE]), fin=st.just(False)),
    st.builds(raw, st.just(CONTINUATION), payloads, fin=st.booleans()),
    st.builds(raw, st.sampled_from([TEXT, BINARY]), payloads, fin=st.just(False)),
    st.builds(
        raw,
        st.sampled_from([TEXT, BINARY, PING, PONG, CLOSE]),
        payloads,
        reserved=st.integers(1, 7),
    ),
    st.builds(raw, st.sampled_from([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), payloads),
    st.builds(raw, st.sampled_from([TEXT, BINARY, PING, PONG, CLOSE]), payloads, mask=st.none()),
    st.sampled_from([b"\xff", b"ok\xc3\x28", b"\xed\xa0\x80"]).map(lambda data: raw(TEXT, data)),
    st.just(fragmented(TEXT, [b"\xe2", b"\x28", b""], [])),
    # Lengths: of more than there will ever be, of more than is allowed, longer than need be.
    st.sampled_from(
        [
            b"\x7f" + b"\xff" * 8,
            b"\x7f\x80" + bytes(7),
            b"\x7f" + (2**40).to_bytes(8, "big"),
            b"\x7f" + (2**25).to_bytes(8, "big"),
            b"\x7e\x00\x05",
            b"\x7f" + (5).to_bytes(8, "big"),
        ]
    ).map(lambda length: raw(BINARY, b"12345", length=length)),
    st.binary(min_size=1, max_size=20),
)

frames = st.one_of(valid, valid, valid, closes, invalid)
"""More often valid than not, so that something still follows."""


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """What a client sends, segment by segment; the last one may be cut short."""
    segments = []
    for together in draw(
        st.lists(st.lists(frames, min_size=1, max_size=3), min_size=1, max_size=4)
    ):
        if RIGHT_PONG in together:
            segments.extend(together)
        else:
            segments.append(b"".join(together))
    if segments[-1] != RIGHT_PONG:
        length = len(segments[-1])
        segments[-1] = segments[-1][: draw(st.just(length) | st.integers(1, length))]
    return segments


def valid_stream(chance: random.Random) -> bytes:
    """Return a stream of which every frame is right."""
    makers: list[Callable[[], bytes]] = [
        lambda: raw(TEXT, chance.choice(["", "text", "\N{SNOWMAN}" * 50]).encode()),
        lambda: raw(BINARY, chance.randbytes(chance.choice([0, 1, 125, 126, 3000]))),
        lambda: raw(PING, chance.randbytes(chance.choice([0, 4, 125]))),
        lambda: raw(PONG, chance.randbytes(chance.choice([0, 4, 125]))),
        lambda: fragmented(TEXT, [b"a", b"", b"bc"], [raw(PING), raw(PONG, b"x")]),
        lambda: raw(TEXT, deflated(b"compressed" * 20), reserved=4),
        lambda: close(1000, b"bye"),
    ]
    weights = [3, 3, 3, 3, 3, 3, 1]
    chosen = chance.choices(makers, weights, k=chance.randint(1, 8))
    return b"".join(make() for make in chosen)


def mutated(stream: bytes, chance: random.Random) -> bytes:
    """Return the stream with a few of its bytes flipped, dropped, doubled or cut off."""
    data = bytearray(stream)
    for _ in range(chance.randint(0, 4)):
        if not data:
            break
        at = chance.randrange(len(data))
        end = at + chance.choice([1, 1, 2, 6, 50])
        match chance.choice(["flip", "flip", "set", "drop", "double", "insert", "cut"]):
            case "flip":
                data[at] ^= 1 << chance.randrange(8)
            case "set":
                data[at] = chance.choice([0, 0x7E, 0x7F, 0x80, 0xFE, 0xFF])
            case "drop":
                del data[at:end]
            case "double":
                data[at:at] = data[at:end]
            case "insert":
                data[at:at] = chance.randbytes(chance.choice([1, 4, 14]))
            case "cut":
                del data[at:]
    return bytes(data)


def segmented(stream: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut a stream into segments, in the middle of a header more often than not."""
    while stream:
        size = chance.choice([1, 2, 3, 7, 100, len(stream)])
        yield stream[:size]
        stream = stream[size:]
