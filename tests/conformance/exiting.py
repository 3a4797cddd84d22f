"""Servers with one fault each in how they exit."""

from __future__ import annotations

import asyncio
import threading
from math import inf
from typing import Any

from asgi_keepalive.conformance.level6 import SOON

from ..levels.page_levels import LEVELS, Declaring
from ..levels.page_server import Disconnected
from .mutants import Mutant


class Exiting(Declaring):
    """A server without the levels between, whose checks take most of the time."""

    exits = False
    levels = 1, 2, 6

    @property
    def extension(self) -> dict[str, Any]:
        names = [name for level in self.levels for name in LEVELS[level - 1]]
        return {name: getattr(self, name) for name in names}

    def shut_down(self) -> None:
        self.exits = True
        super().shut_down()


class ExitIsNotTold(Exiting):
    levels = 1, 6  # type: ignore[assignment]

    def announce_exit(self, on_exit: Any) -> None: ...


class ExitIsToldTwice(Exiting):
    def shut_down(self) -> None:
        super().shut_down()
        if self.on_exit is not None:
            self.on_exit(0)


class ExitWithoutTime(Exiting):
    def announce_exit(self, on_exit: Any) -> None:
        super().announce_exit(lambda grace: on_exit(None))


class ExitInAThread(Exiting):
    def shut_down(self) -> None:
        if self.on_exit is None or not self.accepted:
            super().shut_down()
        else:
            thread = threading.Thread(target=self.on_exit, args=(inf,))
            thread.start()
            thread.join()


class ToldOnlyBeforeAccept(Exiting):
    """`announce_exit` has no effect after *Accept*."""

    def announce_exit(self, on_exit: Any) -> None:
        if not self.accepted or self.on_exit is not None:
            super().announce_exit(on_exit)


class GraceIsCut(Exiting):
    def shut_down(self) -> None:
        super().shut_down()
        if not self.closing:
            self.loop.call_later(0.7, super(Declaring, self).shut_down)


class CancelsApplication(Exiting):
    def shut_down(self) -> None:
        super().shut_down()
        if not self.closing:
            self.loop.call_later(0.7, self.task.cancel)


class FailIsRefused(Exiting):
    """While the server exits `fail` is refused."""

    def fail(self, *args: Any) -> None:
        if self.exits:
            raise Disconnected("The server exits.")
        super().fail(*args)


class ClosesWithItsOwnCode(Exiting):
    """While the server exits its applications close with 1012."""

    def close(self, code: int, reason: str, status: int) -> None:
        super().close(1012 if self.exits else code, "" if self.exits else reason, status)


class ToldBeforeAccept(Exiting):
    def shut_down(self) -> None:
        if self.on_exit is not None and not self.accepted:
            self.on_exit(inf)
        super().shut_down()


class ExitIsKept(Exiting):
    """The callback is kept after the end."""

    def drop_callbacks(self) -> None:
        on_exit = self.on_exit
        super().drop_callbacks()
        self.kept = on_exit


class ToldAfterClosing(Exiting):
    """The callback is called after `on_closing`, and dropped after TCP."""

    kept: Any = None

    def drop_callbacks(self) -> None:
        self.kept = self.kept or (not self.failed and self.on_exit) or None
        super().drop_callbacks()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.kept = None

    def shut_down(self) -> None:
        if self.kept is not None:
            self.kept(inf)
        super().shut_down()


class FirstExitStays(Exiting):
    def announce_exit(self, on_exit: Any) -> None:
        super().announce_exit(self.on_exit or on_exit)


class BothAreTold(Exiting):
    def announce_exit(self, on_exit: Any) -> None:
        first = self.on_exit

        def both(grace: float) -> None:
            on_exit(grace)
            if first is not None:
                first(grace)

        super().announce_exit(both)


class ExitsLate(Exiting):
    """The server waits though all connections have gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        gone, self.gone = self.gone, asyncio.Future()
        super().connection_lost(exc)
        if self.exits:
            self.loop.call_later(SOON + 0.5, gone.set_result, None)
        else:
            gone.set_result(None)


EXITING = [
    Mutant(ExitIsNotTold, {"6.1"}),
    Mutant(ExitIsToldTwice, {"6.1"}),
    Mutant(ExitWithoutTime, {"6.1"}),
    Mutant(ExitInAThread, {"6.1"}),
    Mutant(ToldOnlyBeforeAccept, {"6.1"}),
    Mutant(GraceIsCut, {"6.2"}),
    Mutant(CancelsApplication, {"6.2"}),
    Mutant(FailIsRefused, {"6.3"}),
    Mutant(ClosesWithItsOwnCode, {"6.3"}),
    Mutant(ToldBeforeAccept, {"6.4"}),
    Mutant(ExitIsKept, {"6.4"}),
    Mutant(ToldAfterClosing, {"6.4"}),
    Mutant(FirstExitStays, {"6.5"}),
    Mutant(BothAreTold, {"6.5"}),
    Mutant(ExitsLate, {"6.6"}),
]
