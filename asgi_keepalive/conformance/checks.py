"""The list of all checks, each with the number of its box."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from .trial import Trial

Function = Callable[[Trial], str]
AtShutdown = Callable[[Trial], Generator[None, None, str]]


class Check(NamedTuple):
    """Something that is seen of a box, or all that is.

    Attributes:
        box: Its number.
        function: Returns what was seen, or raises `Failed` or `NotSeen`.
        is_last: Whether it is made when the server has exited.
    """

    box: str
    function: Function
    is_last: bool


class ShutdownCheck(NamedTuple):
    """Something that is seen of a box at the server's shutdown.

    Attributes:
        function: Yields once, when its connection is ready for that.
    """

    box: str
    function: AtShutdown


CHECKS: list[Check] = []
SHUTDOWN_CHECKS: list[ShutdownCheck] = []


def check(box: str, *, is_last: bool = False) -> Callable[[Function], Function]:
    """Note a check."""

    def note(function: Function) -> Function:
        CHECKS.append(Check(box, function, is_last))
        return function

    return note


def at_shutdown(box: str) -> Callable[[AtShutdown], AtShutdown]:
    """Note a check of the shutdown."""

    def note(function: AtShutdown) -> AtShutdown:
        SHUTDOWN_CHECKS.append(ShutdownCheck(box, function))
        return function

    return note
