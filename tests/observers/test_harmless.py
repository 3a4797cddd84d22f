"""Whatever observers do, they harm nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, Observer, get_keepalive
from asgi_keepalive.extension import Scope

from ..support.applications import echo
from ..support.fake_loop import in_no_time
from ..support.observers import Notes, observed
from ..support.timeouts import FAILED

NEVER = "{} is an async def, but observers are never awaited: let a plain def start a task"


class Awaiting(Observer):
    def __init__(self, scope: Scope) -> None: ...

    async def ponged(self, latency: float) -> None:  # type: ignore[override]
        raise AssertionError("never called")


class Generating(Observer):
    def __init__(self, scope: Scope) -> None: ...

    async def closed(self) -> AsyncIterator[None]:  # type: ignore[override]
        yield


class AsyncFactory:
    async def __call__(self, scope: Scope) -> Observer:
        raise AssertionError("never called")

    def __repr__(self) -> str:
        return "mine"


async def async_factory(scope: Scope) -> Observer:
    raise AssertionError("never called")


class TestWhatTheyMayDo:
    @in_no_time
    async def test_change_the_settings(self) -> None:
        """Adaptive keepalive, for instance."""

        class Adapting(Observer):
            def __init__(self, scope: Scope) -> None:
                self.keepalive = get_keepalive(scope)

            def opened(self) -> None:
                self.keepalive.configure(ping_interval=1)

            def ponged(self, latency: float) -> None:
                interval = self.keepalive.ping_interval
                assert interval is not None
                self.keepalive.configure(ping_interval=2 * interval)

            def closed(self) -> None:
                self.keepalive.configure(ping_interval=1)

        server, app = await observed(Adapting, pong_after=0.1)
        await asyncio.sleep(20)
        assert server.pinged_at == pytest.approx([1, 3, 7, 15])
        app.returns()
        await server.task
        await asyncio.sleep(50)
        assert len(server.pings) == 4

    @pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
    @in_no_time
    async def test_raise(
        self, caplog: pytest.LogCaptureFixture, error: type[BaseException]
    ) -> None:
        class Raising(Observer):
            def __init__(self, scope: Scope) -> None:
                pass

            def __getattribute__(self, name: str) -> Any:
                if name in vars(Observer):
                    raise error(name)
                return super().__getattribute__(name)

            def __repr__(self) -> str:
                return "mine"

        def broken(scope: Scope) -> Observer:
            raise error("broken")

        caplog.set_level(logging.WARNING, "asgi_keepalive")
        notes = Notes()
        server, app = await observed(Raising, broken, notes)
        await asyncio.sleep(25)
        server.pong_after = None
        assert await app.receive() == FAILED
        app.returns()
        await server.task
        assert [what for _, what, *_ in notes.taken] == [
            *("opened", "pinged", "ponged", "pinged", "failed", "closed"),
        ]
        told = [record for record in caplog.records if record.exc_info]
        assert [record.getMessage() for record in told][2:] == [
            f"mine failed to observe that a connection {what}"
            for what in ("pinged", "ponged", "pinged", "failed", "closed")
        ]
        assert told[0].getMessage() == f"{Raising!r} failed to observe a connection"
        assert told[1].getMessage() == f"{broken!r} failed to observe a connection"
        assert {record.exc_info[0] for record in told if record.exc_info} == {error}

    @in_no_time
    async def test_leave_a_connection_out(self, caplog: pytest.LogCaptureFixture) -> None:
        notes = Notes()
        _, app = await observed(lambda scope: None, notes, pong_after=None)
        assert await app.receive() == FAILED
        assert [what for _, what, *_ in notes.taken] == ["opened", "pinged", "failed", "closed"]
        assert [record for record in caplog.records if record.levelno > logging.INFO] == []

    @pytest.mark.parametrize("kind", ["method", "factory"])
    @in_no_time
    async def test_be_left_out_as_nobody_would_await_them(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def coroutine(scope: Scope) -> Observer:
            raise AssertionError("never awaited")

        factory: Any = coroutine if kind == "factory" else Awaiting
        for _ in range(2):
            notes = Notes()
            await observed(lambda scope: factory(scope), notes)
            await asyncio.sleep(25)
            assert len(notes.taken) == 3
        name = factory.__qualname__ + (".ponged" if kind == "method" else "")
        assert caplog.record_tuples == [
            ("asgi_keepalive", logging.ERROR, f"an observer is left out: {NEVER.format(name)}")
        ]

    @in_no_time
    async def test_override_nothing(self) -> None:
        server, app = await observed(lambda scope: Observer(), pong_after=None)
        assert await app.receive() == FAILED
        app.returns()
        await server.task


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (5, "observers must be a list of callables, not 5"),
        (
            [Notes, "mine"],
            "observers must be callables, which take a scope and return an Observer, not 'mine'",
        ),
        ([Notes, Awaiting], NEVER.format("Awaiting.ponged")),
        ([Generating], NEVER.format("Generating.closed")),
        ([AsyncFactory()], NEVER.format("mine")),
        ([async_factory], NEVER.format(repr(async_factory))),
    ],
)
def test_what_is_no_observer_is_refused(
    given: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TypeError) as raised:
        KeepaliveMiddleware(echo, observers=given)
    assert str(raised.value) == text
    assert caplog.messages == [f"KeepaliveMiddleware: {text}"]


@in_no_time
async def test_nothing_is_left_behind() -> None:
    made: list[weakref.ref[Observer]] = []

    def noting(scope: Scope) -> Observer:
        observer = Observer()
        made.append(weakref.ref(observer))
        return observer

    server, app = await observed(noting)
    gc.disable()
    try:
        app.returns()
        await server.task
        assert [reference() for reference in made] == [None]
    finally:
        gc.enable()
