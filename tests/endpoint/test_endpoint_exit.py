"""The server's exit: who is told of it, and when nobody is."""

from __future__ import annotations

from math import inf
from typing import Any

from ..support.endpoint import Connected
from ..support.fake_loop import fake_loop, in_no_time


@in_no_time
async def test_is_announced_once() -> None:
    one = Connected()
    one.endpoint.announce_exit(one.told.append)
    assert [one.adapter.announce_exit(inf) for _ in range(2)] == [True, False]
    assert one.told == [inf]


@in_no_time
async def test_nobody_asks_for_it() -> None:
    one = Connected()
    one.take_over()
    assert not one.adapter.announce_exit(1)
    assert one.told == []


@in_no_time
async def test_later_callback_replaces_the_first() -> None:
    one, other = Connected(), Connected()
    one.endpoint.announce_exit(one.told.append)
    one.endpoint.announce_exit(other.told.append)
    assert one.adapter.announce_exit(1)
    assert (one.told, other.told) == ([], [1])


@in_no_time
async def test_handshake_that_is_not_complete_is_the_servers_affair() -> None:
    one = Connected(is_open=False)
    one.endpoint.announce_exit(one.told.append)
    assert not one.adapter.announce_exit(1)
    one.adapter.has_opened = True
    assert one.adapter.announce_exit(0.5)
    assert one.told == [0.5]


@in_no_time
async def test_callback_is_dropped_when_the_connection_closes() -> None:
    closing, failed = Connected(), Connected()
    for one in closing, failed:
        one.endpoint.announce_exit(one.told.append)
    closing.endpoint.closing()
    failed.endpoint.fail(1011, "why", 1)
    for one in closing, failed:
        assert one.adapter.transport.on_exit is None
        one.endpoint.announce_exit(one.told.append)  # too late
        assert one.adapter.transport.on_exit is None
        assert not one.adapter.announce_exit(1)
        assert one.told == []


@in_no_time
async def test_transport_that_closes_has_not_told_yet() -> None:
    one = Connected()
    one.endpoint.announce_exit(one.told.append)
    one.transport.close()
    one.adapter.transport.is_closing = lambda: True
    assert not one.adapter.transport.announce_exit(1)
    assert one.told == []


@in_no_time
async def test_error_of_the_callback_is_told_and_leaves_the_closing_to_the_server() -> None:
    told: list[Any] = []
    fake_loop().set_exception_handler(lambda loop, context: told.append(context))

    def broken(grace: float) -> None:
        raise RuntimeError("broken")

    one = Connected()
    one.endpoint.announce_exit(broken)
    assert not one.adapter.announce_exit(1)
    [context] = told
    assert context["message"] == "on_exit raises, so the server closes the connection by itself"
    assert str(context["exception"]) == "broken"
