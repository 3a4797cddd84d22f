"""Control frames between the fragments of compressed messages; the oracle is what was sent.

Some plain servers are wrong here themselves, and the middleware is why Pongs come at all.
"""

from __future__ import annotations

import zlib

import pytest
from hypothesis import strategies as st

from ...support.client import PING, PONG, TEXT
from .comparison import explore
from .conftest import Staged
from .frames import CONTINUATION, RIGHT_PONG, raw
from .performance import perform
from .play import OPENING, Move, Play, app, client
from .puppet import short

PARTS = st.sampled_from(["", "a", "abc" * 50, "\N{SNOWMAN}" * 20, "0123456789" * 300])


@st.composite
def uploads(draw: st.DrawFn) -> tuple[list[str], list[Move]]:
    """Return messages, and what a client does to send them, compressed and in fragments."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12)
    messages, pieces = [], []
    for _ in range(draw(st.integers(1, 3))):
        parts = draw(st.lists(PARTS, min_size=1, max_size=4))
        messages.append("".join(parts))
        fragments = [compressor.compress(part.encode()) for part in parts]
        fragments[-1] += compressor.flush(zlib.Z_SYNC_FLUSH)
        fragments[-1] = fragments[-1].removesuffix(b"\0\0\xff\xff")
        whole = b"".join(fragments)
        cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(whole)], strict=True)):
            opcode, reserved = (CONTINUATION, 0) if number else (TEXT, 4)
            last = end == len(whole) and number == len(cuts)
            pieces.append(raw(opcode, whole[start:end], fin=last, reserved=reserved))
            pieces += draw(st.lists(st.sampled_from(CONTROLS), max_size=2))
    return messages, list(_segments(pieces, draw(st.lists(st.integers(1, 50), max_size=20))))


CONTROLS = [RIGHT_PONG, raw(PONG), raw(PONG, b"unasked"), raw(PING, b"theirs"), raw(PING)]


def _segments(pieces: list[bytes], cuts: list[int]) -> list[Move]:
    """Cut the pieces into segments, of so many bytes; a Pong of ours is one of its own."""
    moves, waiting = [], b""
    for piece in [*pieces, RIGHT_PONG]:
        if piece != RIGHT_PONG:
            waiting += piece
            continue
        while waiting:
            size = cuts.pop() if cuts else len(waiting)
            moves.append(client("send", waiting[:size]))
            waiting = waiting[size:]
        moves.append(client("pong"))
    return moves


def test_messages_arrive_as_they_were_sent(ws: str, stage: Staged) -> None:
    if ws in {"daphne", "gunicorn"}:
        pytest.skip("it offers no compression")
    behind = stage("behind")

    def check(upload: tuple[list[str], list[Move]]) -> None:
        messages, moves = upload
        play = Play((*OPENING, app("listen"), *moves, client("FIN")), deflate=True)
        outcome = perform(behind, play)
        assert any("permessage-deflate" in line for line in outcome.head)
        told = [
            result["text"] if isinstance(result, dict) and "text" in result else result
            for what, result, _ in outcome.told
            if what == "receive" and isinstance(result, dict) and "receive" in result["type"]
        ]
        expected = [short({"text": one})["text"] for one in messages]
        assert told == expected, f"{ws}: {play}"
        assert not outcome.logged

    explore(check, uploads(), 40)
