"""More servers with one fault each: those that hide behind what is right."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from ..levels.page_levels import Declaring
from ..levels.page_server import Event
from .mutants import Mutant


class PingOvertakes(Declaring):
    """A Ping is written before the messages that the server holds back itself."""

    held = b""
    pinging = False

    def ping(self, payload: bytes) -> None:
        self.pinging = True
        try:
            super().ping(payload)
        finally:
            self.pinging = False

    def flush(self) -> None:
        data = b"".join(filter(None, self.protocol.data_to_send()))
        if self.pinging or not (self.held or self.transport.get_write_buffer_size()):
            self.transport.write(data)
        else:
            self.held += data
            self.writable.clear()

    def resume_writing(self) -> None:
        self.write_held()
        super().resume_writing()

    def begin_closing(self) -> None:
        self.write_held()
        super().begin_closing()

    def pause_writing(self) -> None: ...

    def write_held(self) -> None:
        held, self.held = self.held, b""
        if held:
            self.transport.write(held)


class PingIsCut(Declaring):
    def ping(self, payload: bytes) -> None:
        super().ping(payload[:124] if len(payload) == 125 else payload)


class PingBeforeAccept(Declaring):
    """A Ping before *Accept* is dropped in silence."""

    def ping(self, payload: bytes) -> None:
        if self.accepted or self.closing:
            super().ping(payload)


class ResetIsNotTold(Declaring):
    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ConnectionResetError):
            self.drop_callbacks()
        super().connection_lost(exc)


class CloseFrameIsNotTold(Declaring):
    """`on_closing` is never called for the peer's Close frame."""

    def end(self, code: int, reason: str = "") -> None:
        if code == 1000:
            self.drop_callbacks()
        super().end(code, reason)


class DenialIsNotTold(Declaring):
    def close(self, code: int, reason: str, status: int) -> None:
        if not self.accepted:
            self.drop_callbacks()
        super().close(code, reason, status)


class ClosingAtTheEnd(Declaring):
    """`on_closing` is called when TCP has ended."""

    def tell_of_closing(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.failed:
            super().tell_of_closing()


class ClosingInAThread(Declaring):
    def tell_of_closing(self) -> None:
        thread = threading.Thread(target=super().tell_of_closing)
        thread.start()
        thread.join()


class KeptAfterOwnClose(Declaring):
    """The callbacks are kept after the application's Close."""

    def close(self, code: int, reason: str, status: int) -> None:
        kept = self.on_pong
        super().close(code, reason, status)
        self.kept = kept


class FailNextTurn(Declaring):
    """`fail` acts in the next turn of the event loop."""

    def fail(self, code: int, reason: str, timeout: float) -> None:
        if code < 3000 or len(reason.encode()) > 123 or timeout < 0:
            super().fail(code, reason, timeout)
        self.check_open()
        self.loop.call_soon(self.fail_now, code, reason, timeout)

    def fail_now(self, *args: Any) -> None:
        with suppress(OSError):
            super().fail(*args)


class FailTimeoutIgnored(Declaring):
    def fail(self, code: int, reason: str, timeout: float) -> None:
        super().fail(code, reason, timeout and (-1 if timeout < 0 else 20))


class FailWithBound(Declaring):
    """The timeout of `fail` gives way to that of `bound_closing`."""

    def fail(self, code: int, reason: str, timeout: float) -> None:
        super().fail(code, reason, timeout if timeout < 0 else (self.bound or timeout))


class Disconnect1006(Declaring):
    def fail(self, code: int, reason: str, timeout: float) -> None:
        super().fail(code, reason, timeout)
        self.disconnect = {"type": "websocket.disconnect", "code": 1006, "reason": reason}


class FailCloses(Declaring):
    """`fail` closes the socket, though the peer may still send."""

    def hold(self) -> None:
        if self.failed:
            self.transport.close()
        else:
            super().hold()


class SecondPong(Declaring):
    """`on_pong` is called for what follows in the read in which it failed the connection."""

    def tell_of_pong(self, payload: bytes) -> None:
        on_pong = self.on_pong
        super().tell_of_pong(payload)
        if on_pong is not None and self.failed:
            on_pong(b"next", time.monotonic())


class BytesUnbounded(Declaring):
    def read_ahead(self, on_read_paused: Any) -> None:
        super().read_ahead(on_read_paused)
        if not self.closing:
            self.bounds = 32, 10**9


class PauseWithoutTime(Declaring):
    def tell_of_pause(self) -> None:
        if self.on_read_paused is not None:
            self.on_read_paused(self.paused, 0.0)


class GoesOnWhenEmpty(Declaring):
    """Reading goes on when nothing at all is unread."""

    def pace(self) -> None:
        if not self.paused or self.closing or not self.unread:
            super().pace()


class MessageLost(Declaring):
    """The message at which reading pauses is lost."""

    def tell_of_pause(self) -> None:
        super().tell_of_pause()
        if self.paused and self.bounds[0] > 1:
            self.unread.pop()


class EofRestarts(Declaring):
    """The peer's EOF restarts the clock of the end."""

    def eof_received(self) -> bool:
        if self.closing and self.bound is not None and self.end_timer is not None:
            self.end_timer.cancel()
            self.end_timer = self.loop.call_later(self.bound, self.expire)
        return super().eof_received()


class ZeroBoundIgnored(Declaring):
    def bound_closing(self, timeout: float) -> None:
        super().bound_closing(timeout or 20)


class SendAfterEofIgnored(Declaring):
    async def send(self, event: Event) -> None:
        if self.failed or not self.peer_left or event["type"] != "websocket.send":
            await super().send(event)


class UnsentIsBuffered(Declaring):
    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        return {**found, "unsent": self.buffered()} if found else {}


class UnacknowledgedInKernel(Declaring):
    """`unacknowledged` leaves out what the server holds."""

    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        if found:
            found["unacknowledged"] = (found["unacknowledged"] or 0) - self.buffered()
        return found


class ReceivedIsRead(Declaring):
    count = 0

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        super().data_received(data)

    def traffic(self) -> dict[str, float | None]:
        found = super().traffic()
        return {**found, "received": self.count} if found else {}


SUBTLE = [
    Mutant(PingOvertakes, {"1.7"}),
    Mutant(PingIsCut, {"1.5"}),
    Mutant(PingBeforeAccept, {"1.13"}),
    Mutant(ResetIsNotTold, {"1.11"}),
    Mutant(CloseFrameIsNotTold, {"1.10", "1.11"}),
    Mutant(DenialIsNotTold, {"1.11"}),
    Mutant(ClosingAtTheEnd, {"1.11", "1.14"}),
    Mutant(ClosingInAThread, {"1.11"}),
    Mutant(KeptAfterOwnClose, {"1.14"}),
    Mutant(FailNextTurn, {"2.4", "2.9"}),
    Mutant(FailTimeoutIgnored, {"2.6"}),
    Mutant(FailWithBound, {"2.6"}),
    Mutant(Disconnect1006, {"2.3", "2.9"}),
    Mutant(FailCloses, {"2.1", "2.5"}),
    Mutant(SecondPong, {"2.9"}),
    Mutant(BytesUnbounded, {"3.2"}),
    Mutant(PauseWithoutTime, {"3.2"}),
    Mutant(GoesOnWhenEmpty, {"3.2"}),
    Mutant(MessageLost, {"3.2"}),
    Mutant(EofRestarts, {"4.1"}),
    Mutant(ZeroBoundIgnored, {"4.1"}),
    Mutant(SendAfterEofIgnored, {"4.3"}),
    Mutant(UnsentIsBuffered, {"5.1"}),
    Mutant(UnacknowledgedInKernel, {"5.4"}),
    Mutant(ReceivedIsRead, {"5.5"}),
]
