"""The events that a `Reader` returns, beside a message itself: a `str` or `bytes`.

Section numbers are of RFC 6455.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Ping:
    """The peer sent a Ping (5.5.2), to be answered with a Pong of the same payload."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """The peer sent a Pong (5.5.3)."""

    payload: bytes


@dataclass(slots=True)
class Close:
    """The peer sent a Close frame (5.5.1); nothing that follows it is read.

    The code is 1005 if the frame has none (7.1.5).
    """

    code: int
    reason: str


@dataclass(slots=True)
class Failure:
    """The peer broke the protocol or a limit: fail the connection (7.1.7) with these.

    Nothing that follows is read. The reason fits into a Close frame.
    """

    code: int
    reason: str


@dataclass(slots=True)
class Fragment:
    """The peer sent a frame of a message that ends with a later one (5.4)."""


FRAGMENT: Final = Fragment()
"""Says nothing; it is returned so that whoever reads may stop between any two frames."""

Event = str | bytes | Ping | Pong | Close | Failure | Fragment
