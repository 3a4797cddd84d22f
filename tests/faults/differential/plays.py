"""Strategies for hypothesis that draw plays."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from . import frames
from .frames import MAX_SIZE, NOISE
from .play import MAX_QUEUE, OPENING, Move, Play, app, client, server
from .wire import CLOSE, TEXT, frame

SMALL, LARGE = (200, 2000), (65536, 40)
"""What a client streams: messages of a size, and how many."""


def noise(kind: str) -> Move:
    return client("noise", kind)


def unread(number: int) -> Move:
    """Let the client send so many short messages in one segment."""
    return client("messages", number)


def behaving(does: str, segments: Sequence[bytes], ends: str, *, deflate: bool) -> Play:
    """Return a play in which the application does one thing with all that comes."""
    moves = [
        client("pong") if segment == frames.RIGHT_PONG else client("send", segment)
        for segment in segments
    ]
    return Play((*OPENING, app(does), *moves, client(ends)), deflate=deflate)


streams = st.builds(
    behaving,
    st.sampled_from(["listen", "echo", "refuse"]),
    frames.streams(),
    st.sampled_from(["FIN", "RST", "cut"]),
    deflate=st.booleans(),
)


def mutation(number: int) -> Play:
    """Return a play whose stream is valid but for a few bytes; the number says which."""
    chance = random.Random(number)
    segments = list(frames.segmented(frames.mutated(frames.valid_stream(chance), chance), chance))
    does, ends = chance.choice(["listen", "echo", "refuse"]), chance.choice(["FIN", "RST", "cut"])
    return behaving(does, segments, ends, deflate=chance.random() < 0.5)


mutations = st.integers(0, 2**32).map(mutation)

noises = st.sampled_from([noise(kind) for kind in NOISE])

before = st.lists(
    st.one_of(
        st.sampled_from([1, 40]).map(unread),
        noises,
        st.sampled_from([SMALL, LARGE]).map(lambda size: client("stream", *size)),
        st.sampled_from([app("receive"), app("send", 10), app("send", 70_000)]),
    ),
    max_size=3,
)
endings = st.sampled_from(
    [app("close", 4000), app("bye", 4000), app("return"), app("fail"), app("cancel")]
)
after = st.lists(
    st.one_of(
        noises,
        st.sampled_from(
            [app("receive"), app("return"), app("fail"), app("cancel"), app("send", 10)]
        ),
        st.sampled_from([client("FIN"), client("cut"), client("RST")]),
    ),
    max_size=2,
)


@st.composite
def closings(draw: st.DrawFn) -> Play:
    """The application closes, or ends, at any point, while the client talks."""
    moves = [*OPENING, *draw(before), draw(endings), *draw(after)]
    # Each client that never answers costs the time of a close.
    answers = draw(st.sampled_from(["at once"] * 6 + ["late"] * 4 + ["never"]))
    return Play(tuple(moves), answers=answers, escapes=draw(st.booleans()))


@st.composite
def leavings(draw: st.DrawFn) -> Play:
    """The client leaves before the application accepts, or soon after."""
    gone = draw(st.sampled_from([client("FIN"), client("cut"), client("RST")]))
    early = draw(st.sampled_from([b"", frame(TEXT, b"early"), NOISE["Ping"], NOISE["Close"]]))
    opening = draw(
        st.sampled_from(
            [
                (app("receive"), app("accept")),
                (app("accept"),),  # it never receives
                (app("receive"), app("deny", 403)),
                (app("receive"), app("close", 4000)),
                (app("receive"), app("return")),
                (app("receive"), app("fail")),
            ]
        )
    )
    moves = list(opening)
    moves.insert(draw(st.integers(0, len(moves))), gone)
    moves += draw(st.lists(st.just(app("send", 10)), max_size=4))
    moves += draw(st.lists(st.sampled_from([app("close", 4000), app("return")]), max_size=2))
    return Play(tuple(moves), early=early, escapes=draw(st.booleans()))


@st.composite
def stoppings(draw: st.DrawFn) -> Play:
    """The server exits in the midst of it."""
    opening = draw(st.sampled_from([OPENING, OPENING, OPENING, (app("receive"),)]))
    moves = [*opening, *draw(before), *draw(st.lists(endings, max_size=1))]
    moves.insert(draw(st.integers(len(opening), len(moves))), server("stop"))
    return Play(tuple(moves), answers=draw(st.sampled_from(["at once", "late", "never"])))


SIZES = [MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1, 2**20 - 1, 2**20, 2**20 + 1, 65536, 200, 0]
NUMBERS = [1, MAX_QUEUE // 2, MAX_QUEUE - 1, MAX_QUEUE, MAX_QUEUE + 1, 3 * MAX_QUEUE]


@st.composite
def bounds(draw: st.DrawFn) -> Play:
    """Messages at every bound, Pongs among them, and an application that is behind or not."""
    moves = list(OPENING)
    if draw(st.booleans()):
        moves.append(app("listen"))
    for size in draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=2)):
        number = 1 if size > 65536 else draw(st.sampled_from(NUMBERS))
        moves.append(client("stream", size, number))
        moves += draw(st.lists(st.sampled_from([client("pong"), noise("Ping")]), max_size=2))
    moves += draw(st.lists(st.just(app("receive")), max_size=3))
    end = draw(st.sampled_from([app("listen"), app("close", 4000), client("RST")]))
    return Play((*moves, end, client("send", frame(CLOSE, b"\x03\xe8"))))
