"""Servers that are made from the page alone, with one fault each."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, NamedTuple

from ..levels.page_levels import Declaring
from ..levels.page_server import Disconnected, Event, logger


class NoExtension(Declaring):
    @property
    def extension(self) -> dict[str, Any]:
        return {"ping": self.ping} if self.level else {}


class OwnKeepaliveGoesOn(Declaring):
    def start_keepalive(self) -> None:
        super(Declaring, self).start_keepalive()

    def keep_alive(self) -> None:
        self.pong_due = False  # or it would end connections, which is no fault of this kind
        super().keep_alive()


class NoOwnKeepalive(Declaring):
    def start_keepalive(self) -> None: ...


class NotYetOpen(Declaring):
    """A Ping right after *Accept* is refused."""

    fresh = False

    def accept(self, event: Event) -> None:
        super().accept(event)
        self.fresh = True
        self.loop.call_soon(setattr, self, "fresh", False)

    def ping(self, payload: bytes) -> None:
        if self.fresh:
            raise Disconnected("The connection is not open yet.")
        super().ping(payload)


class SecondTakeOver(Declaring):
    def take_over(self, *callbacks: Any) -> None:
        self.taken_over = False
        super().take_over(*callbacks)


class LongPayload(Declaring):
    def ping(self, payload: bytes) -> None:
        super().ping(payload[:125])


class PingWaits(Declaring):
    """A Ping waits for room, as messages do."""

    waiting: tuple[bytes, ...] = ()

    def ping(self, payload: bytes) -> None:
        if self.writable.is_set() or len(payload) > 125:
            super().ping(payload)
        else:
            self.check_open()
            self.waiting += (payload,)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.loop.call_later(0.3, self.ping_at_last)

    def ping_at_last(self) -> None:
        waiting, self.waiting = self.waiting, ()
        with suppress(OSError):
            for payload in waiting:
                super().ping(payload)


class PayloadCompared(Declaring):
    """Only answers to its own Pings are told."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sent: list[bytes] = []

    def ping(self, payload: bytes) -> None:
        super().ping(payload)
        self.sent.append(payload)

    def tell_of_pong(self, payload: bytes) -> None:
        if payload in self.sent:
            super().tell_of_pong(payload)


class LoopTime(Declaring):
    def tell_of_pong(self, payload: bytes) -> None:
        if self.on_pong is not None:
            self.on_pong(payload, self.loop.time())


class PongAfterTheEnd(Declaring):
    """A Pong is told in the next turn of the event loop."""

    def tell_of_pong(self, payload: bytes) -> None:
        if self.on_pong is not None:
            self.loop.call_soon(self.on_pong, payload, time.monotonic())


class ClosingTwice(Declaring):
    def tell_of_closing(self) -> None:
        if self.on_closing is not None:
            self.on_closing()
        super().tell_of_closing()


class LateTakeOver(Declaring):
    def take_over(self, on_pong: Any, on_closing: Any) -> None:
        super().take_over(on_pong, (lambda: None) if self.closing else on_closing)


class WrongError(Declaring):
    def check_open(self) -> None:
        try:
            super().check_open()
        except OSError as exc:
            raise RuntimeError("The connection is not open.") from exc


class CallbackKept(Declaring):
    def tell_of_closing(self) -> None:
        on_pong = self.on_pong
        super().tell_of_closing()
        self.on_pong = on_pong


class Complains(Declaring):
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        logger.error("The connection is lost.")


class CloseFrameLost(Declaring):
    def fail(self, code: int, reason: str, timeout: float) -> None:
        protocol = self.protocol
        lost = _Lost(protocol)
        self.protocol = lost if self.accepted and not self.closing else protocol  # type: ignore[assignment]
        try:
            super().fail(code, reason, timeout)
        finally:
            self.protocol = protocol


class _Lost:
    """Writes no Close frame."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def fail(self, code: int, reason: str) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)


class SendStaysBlocked(Declaring):
    def fail(self, *args: Any) -> None:
        blocked = not self.writable.is_set()
        super().fail(*args)
        if blocked:
            self.writable.clear()

    def resume_writing(self) -> None:
        if not self.failed:
            super().resume_writing()


class OneDisconnect(Declaring):
    """A second `receive` behind the disconnect waits for ever."""

    told = False

    async def receive(self) -> Event:
        if self.failed and self.told:
            await asyncio.Event().wait()
        event = await super().receive()
        self.told = event["type"] == "websocket.disconnect"
        return event


class DeliversLate(Declaring):
    """A message that comes after `fail` is delivered."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.failed:
            text = data[6:].decode(errors="replace")  # behind the head of a short frame
            self.unread.append({"type": "websocket.receive", "text": text})


class SendIsIgnored(Declaring):
    """After a `fail`, a `send` drops its event in silence."""

    async def send(self, event: Event) -> None:
        try:
            await super().send(event)
        except Disconnected:
            if not self.failed or self.transport.get_write_buffer_size():
                raise


class NotResumed(Declaring):
    def fail(self, *args: Any) -> None:
        was_paused = self.paused
        super().fail(*args)
        if was_paused:
            self.transport.pause_reading()


class NoLinger(Declaring):
    def reset(self) -> None:
        self.transport.abort()


class FailsAnyCode(Declaring):
    def fail(self, code: int, reason: str, timeout: float) -> None:
        super().fail(1000 if code == 1006 else code, reason, timeout)


class ClosingIsTold(Declaring):
    """`fail` calls `on_closing`."""

    def fail(self, *args: Any) -> None:
        on_closing = self.on_closing
        super().fail(*args)
        if on_closing is not None:
            on_closing()


class NeverPauses(Declaring):
    def read_ahead(self, on_read_paused: Any) -> None:
        super().read_ahead(on_read_paused)
        self.bounds = 10**6, 10**9


class NotToldToGoOn(Declaring):
    def tell_of_pause(self) -> None:
        if self.paused:
            super().tell_of_pause()


class ClosingStaysPaused(Declaring):
    """The application's Close leaves reading as it is."""

    def pace(self) -> None:
        if not self.closing or not self.paused:
            super().pace()


class EofIsNotSeen(Declaring):
    """Behind unread messages the peer's EOF is not noticed."""

    def eof_received(self) -> bool:
        return bool(self.unread) or super().eof_received()


class FirstCallbackStays(Declaring):
    def read_ahead(self, on_read_paused: Any) -> None:
        super().read_ahead(self.on_read_paused or on_read_paused)


class ErrorIsNotTold(Declaring):
    """A protocol error ends the connection without a Close frame."""

    def flush(self) -> None:
        if self.protocol.parser_exc is None:
            super().flush()


class EofIsUnbounded(Declaring):
    def eof_received(self) -> bool:
        self.bound = self.bound and 60
        return super().eof_received()


class BoundIsFinal(Declaring):
    def bound_closing(self, timeout: float) -> None:
        if self.bound is None or timeout < 0:
            super().bound_closing(timeout)


class EofBlocks(Declaring):
    """A `send` that is blocked stays so after the peer's EOF."""

    def eof_received(self) -> bool:
        blocked = not self.writable.is_set()
        kept = super().eof_received()
        if blocked:
            self.writable.clear()
        return kept


class AbortsAtOnce(Declaring):
    """A Close of the application's is the end of TCP, too."""

    def close(self, code: int, reason: str, status: int) -> None:
        super().close(code, reason, status)
        if self.bound is not None:
            self.loop.call_soon(self.reset)


class UnsentOfKernel(Declaring):
    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        return {**found, "unsent": 0} if found else {}


class QuietIsRead(Declaring):
    """`quiet` counts from what the server has read."""

    read = 0.0

    def data_received(self, data: bytes) -> None:
        self.read = time.monotonic()
        super().data_received(data)

    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        return {**found, "quiet": time.monotonic() - self.read} if found else {}


class NothingReceived(Declaring):
    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        return {**found, "received": 0} if found else {}


class TrafficGoesOn(Declaring):
    def traffic(self) -> dict[str, float | None]:
        return super().traffic() or {"unsent": 0}


class PlaceIsBehind(Declaring):
    """`unacknowledged` counts the same bytes twice."""

    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        if found:
            found["unacknowledged"] = 3 * (found["unacknowledged"] or 0) + 1
        return found


class NothingBuffered(Declaring):
    def buffered(self) -> int:
        return 0


class Mutant(NamedTuple):
    """A server with a fault.

    Attributes:
        boxes: Those that must see it, by number.
        keepalive: The interval of its own keepalive.
    """

    connection: type[Declaring]
    boxes: set[str]
    loop: str = "asyncio"
    keepalive: float | None = None


MUTANTS = [
    Mutant(NoExtension, {"1.1"}),
    Mutant(NoOwnKeepalive, {"1.2"}, keepalive=0.4),
    Mutant(NotYetOpen, {"1.5"}),
    Mutant(OwnKeepaliveGoesOn, {"1.3"}, keepalive=0.4),
    Mutant(SecondTakeOver, {"1.4"}),
    Mutant(LongPayload, {"1.6"}),
    Mutant(PingWaits, {"1.7"}),
    Mutant(PayloadCompared, {"1.8"}),
    Mutant(LoopTime, {"1.9"}, loop="uvloop"),
    Mutant(PongAfterTheEnd, {"1.10", "2.9"}),
    Mutant(ClosingTwice, {"1.11"}),
    Mutant(LateTakeOver, {"1.12"}),
    Mutant(WrongError, {"1.13", "2.7"}),
    Mutant(CallbackKept, {"1.14"}),
    Mutant(Complains, {"1.15"}),
    Mutant(CloseFrameLost, {"2.1", "2.5"}),
    Mutant(SendStaysBlocked, {"2.2"}),
    Mutant(OneDisconnect, {"2.3"}),
    Mutant(DeliversLate, {"2.3", "2.9"}),
    Mutant(SendIsIgnored, {"2.4"}),
    Mutant(NotResumed, {"2.5"}),
    Mutant(NoLinger, {"2.6", "4.1", "4.2", "4.5"}),
    Mutant(FailsAnyCode, {"2.7"}),
    Mutant(ClosingIsTold, {"2.8"}),
    Mutant(NeverPauses, {"3.2"}),
    Mutant(NotToldToGoOn, {"3.2"}),
    Mutant(ClosingStaysPaused, {"3.4", "4.4"}),
    Mutant(EofIsNotSeen, {"3.1"}),
    Mutant(FirstCallbackStays, {"3.5"}),
    Mutant(ErrorIsNotTold, {"4.6"}),
    Mutant(EofIsUnbounded, {"4.2"}),
    Mutant(EofBlocks, {"4.3"}),
    Mutant(BoundIsFinal, {"4.5"}),
    Mutant(AbortsAtOnce, {"4.4"}),
    Mutant(UnsentOfKernel, {"5.1"}),
    Mutant(QuietIsRead, {"5.2"}),
    Mutant(NothingReceived, {"5.5"}),
    Mutant(TrafficGoesOn, {"5.3"}),
    Mutant(PlaceIsBehind, {"5.4"}),
    Mutant(NothingBuffered, {"5.6"}),
]
