"""The Pings of `Keepalive.ping`, for whose Pongs an application waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .exceptions import PingTimeout
from .heartbeat import Ping

_NO_ANSWERS: dict[Ping, asyncio.Future[float]] = {}
"""Most connections never need more, and a dictionary of their own would take 64 bytes of each."""


NOT_ACCEPTED = "the connection has not been accepted yet: accept it before you call ping()"


def must_run_in(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse another event loop than the connection's: no Pong would ever be told there.

    Raises:
        RuntimeError: Another one is running.
    """
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError(
            "ping() belongs to the event loop of its connection, and this is another one: "
            "await it in the application's own coroutine"
        )


class ManualPings:
    """The manual Pings of one connection, each with the future that its application awaits.

    They are kept by the Ping, not by its payload: two payloads may be the same.
    """

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers = _NO_ANSWERS

    def __bool__(self) -> bool:
        return bool(self._answers)

    def expect(self, ping: Ping) -> asyncio.Future[float]:
        """Return a future for the round-trip time of a Ping, in seconds; `forget` it at last."""
        if self._answers is _NO_ANSWERS:
            self._answers = {}
        answer = self._answers[ping] = asyncio.get_running_loop().create_future()
        return answer

    def forget(self, ping: Ping) -> None:
        """Nobody waits for the Pong of this Ping any more."""
        del self._answers[ping]

    def acknowledge(self, pings: list[Ping], now: float) -> None:
        """A Pong has acknowledged Pings, manual ones perhaps among them."""
        for ping in pings:
            answer = self._answers.get(ping)
            if answer is not None and not answer.done():
                answer.set_result(max(0.0, now - ping.sent_at))

    def expire(self, ping: Ping, now: float) -> None:
        """A Ping has not been answered in time."""
        _fail(self._answers[ping], PingTimeout(f"no Pong for {now - ping.sent_at:.3g} s"))

    def end(self, error: Callable[[], Exception]) -> None:
        """No Ping will be answered any more: let each wait end with an error of its own."""
        for answer in self._answers.values():
            _fail(answer, error())


def _fail(answer: asyncio.Future[float], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
