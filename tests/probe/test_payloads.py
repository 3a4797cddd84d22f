from __future__ import annotations

import os
import struct
import time

import pytest

from asgi_keepalive.probe.facts import ServerPing
from asgi_keepalive.probe.payloads import classify

NOW = 1_800_000_000.0


def pings(*payloads: bytes) -> list[ServerPing]:
    return [ServerPing(20.0 * i, NOW + 20 * i, payload) for i, payload in enumerate(payloads)]


def text(*payloads: bytes) -> str:
    found = classify(pings(*payloads))
    assert found is not None
    could = "predictable" if found.predictable else "not predictable"
    return f"{found}: {could}"


def test_without_pings_there_is_nothing_to_say() -> None:
    assert classify([]) is None


@pytest.mark.parametrize(
    ("payloads", "said"),
    [
        ([b""], "empty: predictable"),
        ([b"", b""], "empty: predictable"),
        ([b"\xff\xfe"], "2 bytes, too few to say more: not predictable"),
        ([b"ping"] * 3, "4 bytes, constant: predictable"),
        ([b"7"] * 3, "1 bytes, constant: predictable"),
        ([b"8", b"9", b"10"], "1 or 2 bytes, counter (digits): predictable"),
        ([b"n=1;", b"n=3;", b"n=5;"], "4 bytes, counter (digits): predictable"),
        ([b"z1", b"b2", b"k3"], "2 bytes, random (beside a counter): not predictable"),
        ([b"\0\0\0\x80", b"\0\0\0\x81"], "4 bytes, counter (big-endian): predictable"),
        ([b"\x80\0", b"\x81\0"], "2 bytes, counter (little-endian): predictable"),
        ([b"\x80\xf0\x01\x8f", b"\x77\x80\x99\x80", b"abcd"], "4 bytes, random: not predictable"),
        ([b"ab", b"cd"], "2 bytes, random: not predictable"),
    ],
)
def test_kinds(payloads: list[bytes], said: str) -> None:
    assert text(*payloads) == said


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)])
def test_timestamps(unit: str, factor: float) -> None:
    times = [int((NOW + at) * factor) for at in (0.1, 20.2, 40.1)]
    could = "predictable" if factor < 1e4 else "not predictable"
    assert text(*(str(one).encode() for one in times)) == (
        f"{len(str(times[0]))} bytes, timestamp (digits, in {unit}): {could}"
    )
    big = [struct.pack(">Q", one) for one in times]
    assert text(*big) == f"8 bytes, timestamp (big-endian, in {unit}): {could}"
    assert text(big[0]) == f"8 bytes, timestamp (big-endian, in {unit}): {could}"
    little = [struct.pack("<Q", one) for one in times]
    assert text(*little) == f"8 bytes, timestamp (little-endian, in {unit}): {could}"
    double = [struct.pack(">d", one) for one in times]
    assert text(*double) == f"8 bytes, timestamp (a double, in {unit}): {could}"


def test_what_is_random_beside_a_timestamp_counts() -> None:
    times = [struct.pack(">Q", int((NOW + i) * 1e9)) for i in range(3)]
    payloads = [time + bytes([i, 7 * i * i]) for i, time in enumerate(times)]
    assert text(*payloads) == "10 bytes, random (beside a timestamp): not predictable"
    said = "10 bytes, too few to say more (beside a timestamp): not predictable"
    assert text(payloads[0]) == said
    counted = [time + bytes([i]) for i, time in enumerate(times)]
    said = "9 bytes, timestamp (big-endian, in ns, and a counter): not predictable"
    assert text(*counted) == said


def test_real_random_payloads() -> None:
    for size in range(4, 126, 11):
        found = classify([ServerPing(0, time.time(), os.urandom(size)) for _ in range(4)])
        assert found is not None
        assert (found.kind, found.lengths) == ("random", (size,))
