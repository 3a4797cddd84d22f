"""A heartbeat that is open goes on, whatever server, peer and application do."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import ExitStack
from math import inf
from typing import Any
from unittest import mock

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asgi_keepalive import KeepaliveError, Observer
from asgi_keepalive.connection import Connection
from asgi_keepalive.crowd import Slot
from asgi_keepalive.extension import Scope

from ..support.fake_loop import FakeLoop, accepted, ticks

LIMITS = st.none() | st.sampled_from([0.01, 1.0, 2.0, 5.0])
SETTINGS = st.fixed_dictionaries({"ping_interval": LIMITS, "ping_timeout": LIMITS})
SECONDS = st.sampled_from([0.0, 0.001, 0.5, 1.0, 2.0, 5.0, 30.0])
ERRORS = st.sampled_from([RuntimeError(), KeyError(), OSError(), asyncio.CancelledError()])


class Faulty(Observer):
    """An observer that is of no use."""

    def __init__(self, scope: Scope) -> None:
        pass

    def pinged(self) -> None:
        raise ValueError

    def ponged(self, latency: float) -> None:
        raise asyncio.CancelledError


class ArbitraryEvents(RuleBasedStateMachine):
    """An accepted connection on an event loop on which waiting takes no time."""

    @initialize(settings=SETTINGS)
    def accept(self, settings: dict[str, Any]) -> None:
        payloads = mock.Mock(side_effect=itertools.cycle([b"same", b"same", b"else"]))
        self.loop = FakeLoop()
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch.object(time, "monotonic", self.loop.time))
        self.patches.enter_context(mock.patch("asgi_keepalive.connection.new_payload", payloads))
        self.patches.enter_context(mock.patch("asgi_keepalive.connection.logger"))
        self.patches.enter_context(mock.patch("asgi_keepalive.reporting.logger"))
        self.server, self.app = self.run(accepted(**settings, observers=[Faulty]))
        self.connection: Connection = self.app.receive.__self__._connection
        self.manual: list[asyncio.Task[float]] = []

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        if not hasattr(self, "connection"):
            return
        try:
            self.app.returns()
            self.run(asyncio.sleep(60))  # what the server has yet to do
            assert self.loop.timers() == []
            for ping in self.manual:
                assert ping.cancelled() or isinstance(ping.exception(), KeepaliveError | None)
            assert not self.connection._manual
            assert self.loop.errors == []
        finally:
            self.patches.close()
            self.loop.close()

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(seconds=SECONDS)
    def stall(self, seconds: float) -> None:
        self.loop.stall(seconds)
        self.run(ticks())

    @rule(seconds=st.none() | SECONDS)
    def answer_after(self, seconds: float | None) -> None:
        self.server.pong_after = seconds

    @rule(error=ERRORS, times=st.integers(1, 3))
    def refuse(self, error: BaseException, times: int) -> None:
        def refuse() -> None:
            nonlocal times
            times -= 1
            if times >= 0:
                raise error

        self.server.on_ping = refuse

    @rule()
    def answer_before_it_is_written(self) -> None:
        def answer() -> None:
            heartbeat = self.connection._heartbeat
            self.connection.on_pong(heartbeat._pings[-1].payload, time.monotonic())

        self.server.on_ping = answer

    @rule()
    def behave(self) -> None:
        self.server.on_ping = lambda: None

    @rule(paused=st.booleans())
    def pause_reading(self, paused: bool) -> None:
        if self.server.on_read_paused is not None:
            self.server.on_read_paused(paused, time.monotonic())

    @rule(settings=SETTINGS)
    def configure(self, settings: dict[str, Any]) -> None:
        self.app.keepalive.configure(**settings)

    @rule()
    def ping(self) -> None:
        async def ping() -> None:
            self.manual.append(asyncio.ensure_future(self.app.keepalive.ping()))
            await ticks()

        self.run(ping())

    @rule(data=st.data())
    def cancel_a_ping(self, data: st.DataObject) -> None:
        if self.manual:
            data.draw(st.sampled_from(self.manual)).cancel()
            self.run(ticks())

    @rule()
    def lose_the_connection(self) -> None:
        self.connection.on_closing()

    @invariant()
    def what_is_due_has_a_timer(self) -> None:
        wake_at = self.connection._heartbeat.wake_at
        if wake_at < inf:
            sleeps = self.connection.timer._sleeps
            timer = sleeps.timer if isinstance(sleeps, Slot) else sleeps
            assert timer is not None
            assert not timer.cancelled()
            assert timer.when() <= max(wake_at, self.loop.now)

    @invariant()
    def pings_are_due_while_they_should_be(self) -> None:
        heartbeat = self.connection._heartbeat
        if heartbeat.is_open and heartbeat.settings.ping_interval is not None:
            assert heartbeat.wake_at < inf


TestArbitraryEvents = ArbitraryEvents.TestCase
TestArbitraryEvents.settings = hypothesis_settings(
    max_examples=100, stateful_step_count=40, deadline=None
)
