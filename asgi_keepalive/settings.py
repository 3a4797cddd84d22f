"""The settings of a connection's keepalive, validated when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from .text import shown

Liveness = Literal["pong", "progress"]
"""Each value names the sign by which a peer is taken to live."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds; the names and meanings are those of the `websockets` library.

    Attributes:
        ping_interval: From one Ping to the next. `None` sends no Pings, so nothing times out.
        ping_timeout: How long to wait for a Pong before the connection is failed. `None` sends
            Pings but waits for ever.
        close_timeout: How long a closing connection may take to flush before TCP is aborted.
        liveness: What shows that a peer lives: only a Pong, or with "progress" also data that goes
            on from it, or to it in front of a Ping.
        required: Whether a connection that cannot be kept alive is refused.
        max_age: How old a connection may become; it is closed within the last tenth before that.
            `None` is no limit.
        notice: How long before a planned end the observers and the page are told of it.
        drain_window: Over how long connections are closed when their server exits. `None` leaves
            that to the server.

    Raises:
        TypeError: A value is not a number (nor `None`, where that is allowed), not a string, or not
            a bool.
        ValueError: A number is not finite, or too small, or `liveness` is none of its values.
    """

    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 10.0
    liveness: Liveness = "pong"
    required: bool = False
    max_age: float | None = None
    notice: float = 5.0
    drain_window: float | None = None

    def __post_init__(self) -> None:
        for name in "ping_interval", "ping_timeout", "max_age":
            value = getattr(self, name)
            if value is not None and not _seconds(name, value, _POSITIVE) > 0:
                raise ValueError(f"{name} {_POSITIVE}, not {shown(value)}")
        check_duration("close_timeout", self.close_timeout)
        check_duration("notice", self.notice)
        if self.drain_window is not None:
            check_duration("drain_window", self.drain_window, _NOT_NEGATIVE_OR_NONE)
        if self.liveness not in get_args(Liveness):
            error = ValueError if isinstance(self.liveness, str) else TypeError
            raise error(f'liveness must be "pong" or "progress", not {shown(self.liveness)}')
        if not isinstance(self.required, bool):
            raise TypeError(f"required must be True or False, not {shown(self.required)}")

    def __str__(self) -> str:
        return ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))

    def inside(self, outer: Settings) -> Settings:
        """Return these settings for a connection on which an outer middleware has set others.

        They replace those, but nothing takes back that keepalive is required.
        """
        return replace(self, required=self.required or outer.required)


_POSITIVE = "must be a positive number of seconds or None"
_NOT_NEGATIVE = "must be a number of seconds, 0 or more"
_NOT_NEGATIVE_OR_NONE = f"{_NOT_NEGATIVE}, or None"


def check_duration(name: str, value: object, expected: str = _NOT_NEGATIVE) -> None:
    """Check that `value` is a number of seconds, 0 or more.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not finite, or negative.
    """
    if not _seconds(name, value, expected) >= 0:
        raise ValueError(f"{name} {expected}, not {shown(value)}")


def _seconds(name: str, value: object, expected: str) -> float:
    """Return `value` if it is a finite number, -1 if it is another number."""
    # True is an int to Python, but nobody means one second by it.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} {expected}, not {shown(value)}")
    try:
        return value if math.isfinite(value) else -1
    except OverflowError:  # an int too large for a float
        return -1
