"""Streams of frames for the reader, in whatever pieces they come."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_keepalive.endpoint.events import FRAGMENT, Event
from asgi_keepalive.endpoint.reader import LARGE, Reader

from ..faults.differential.frames import raw

SNOWMAN = "\N{SNOWMAN}".encode()

MEBIBYTE = 2**20

LENGTHS = [0, 1, 4, 5, 125, 126, 127, 255, 256, 1000, LARGE - 1, LARGE, 65535, 65536, 70000]
"""Around each bound that the protocol or the reader has."""

SEGMENTS = [1, 2, 3, 5, 6, 7, 13, 14, 100, MEBIBYTE]
"""Bytes of each segment in which a stream comes."""


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def taken(one: Reader) -> list[Event]:
    """Return all events that there are."""
    return list(iter(one.next_event, None))


def read(one: Reader, *segments: bytes) -> list[Event]:
    """Return the events of a stream, without those that say nothing."""
    events = []
    for segment in segments:
        one.feed(segment)
        events += taken(one)
    return [event for event in events if event is not FRAGMENT]


def payload(length: int) -> bytes:
    """Return bytes of which each of four neighbours is another one."""
    return bytes(range(251)) * (length // 251) + bytes(range(length % 251))


def large(opcode: int, data: bytes) -> bytes:
    """Return a frame, at once: masked with zeros, it is as it was."""
    return raw(opcode, length=b"\x7f" + len(data).to_bytes(8, "big"), mask=bytes(4)) + data
