"""The functions of the extension: what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import pytest

from asgi_keepalive.endpoint.closing import BoundedTransport
from asgi_keepalive.endpoint.endpoint import Functions
from asgi_keepalive.extension import Extension

from ..support.endpoint import Connected
from ..support.fake_loop import in_no_time

KINDS = pytest.mark.parametrize("reads", [True, False], ids=["read here", "read by the server"])


def lose(one: Connected) -> None:
    one.endpoint.lost()


def close(one: Connected) -> None:
    one.adapter.transport.close()


def fail(one: Connected) -> None:
    one.endpoint.fail(1011, "", 3)


def close_in_the_protocol(one: Connected) -> None:
    one.adapter.has_opened = False


NOT_OPEN = pytest.mark.parametrize("end", [lose, close, fail, close_in_the_protocol])

INVALID: list[Callable[[Connected], None]] = [
    lambda one: one.endpoint.ping(bytes(126)),
    lambda one: one.endpoint.fail(1005, "", 1),
    lambda one: one.endpoint.fail(1006, "", 1),
    lambda one: one.endpoint.fail(999, "", 1),
    lambda one: one.endpoint.fail(5000, "", 1),
    lambda one: one.endpoint.fail(1000, "x" * 124, 1),
    lambda one: one.endpoint.fail(1000, "\N{SNOWMAN}" * 42, 1),
    lambda one: one.endpoint.fail(1000, "", -1),
    lambda one: one.endpoint.fail(1000, "", nan),
    lambda one: one.endpoint.bound_closing(-1),
    lambda one: one.endpoint.bound_closing(nan),
]


@KINDS
class TestEachKind:
    @in_no_time
    async def test_offers_all_functions(self, reads: bool) -> None:
        one = Connected(reads=reads)
        functions = Functions(one.endpoint)
        assert functions.keys() == Extension.__annotations__.keys()
        assert all(function == getattr(one.endpoint, name) for name, function in functions.items())
        assert len(functions) == 8
        with pytest.raises(KeyError):
            functions["pong"]
        assert "_must_be_open" not in functions

    @in_no_time
    async def test_gives_the_server_a_transport_with_bounds(self, reads: bool) -> None:
        one = Connected(reads=reads)
        assert one.adapter.told == ["use_transport"]
        assert type(one.adapter.transport) is BoundedTransport
        assert one.endpoint.transport_is_closing() is False
        one.transport.closing = True
        assert one.endpoint.transport_is_closing() is True

    @NOT_OPEN
    @in_no_time
    async def test_refuses_what_needs_an_open_connection(
        self, reads: bool, end: Callable[[Connected], None]
    ) -> None:
        one = Connected(reads=reads)
        one.take_over()
        end(one)
        before = one.everything()
        with pytest.raises(OSError, match=r"^the WebSocket connection is not open$"):
            one.endpoint.ping(b"ping")
        with pytest.raises(OSError, match=r"^the WebSocket connection is not open$"):
            one.endpoint.fail(1011, "late", 7)
        assert one.everything() == before
        one.endpoint.lost()

    @in_no_time
    async def test_refuses_it_before_the_handshake_too(self, reads: bool) -> None:
        one = Connected(reads=reads, is_open=False)
        one.take_over()
        before = one.everything()
        with pytest.raises(OSError, match="not open"):
            one.endpoint.ping(b"ping")
        with pytest.raises(OSError, match="not open"):
            one.endpoint.fail(1011, "", 7)
        assert one.everything() == before
        one.endpoint.pong(b"1")
        one.endpoint.lost()
        assert one.told == [b"1", "closing"]

    @pytest.mark.parametrize("call", INVALID)
    @pytest.mark.parametrize("is_open", [True, False])
    @in_no_time
    async def test_invalid_arguments_change_nothing(
        self, reads: bool, call: Callable[[Connected], None], is_open: bool
    ) -> None:
        one = Connected(reads=reads, is_open=is_open)
        one.take_over()
        before = one.everything()
        with pytest.raises(ValueError, match=r"."):
            call(one)
        assert one.everything() == before
        one.endpoint.pong(b"1")
        one.endpoint.closing()
        assert one.told == [b"1", "closing"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (INVALID[0], "a Ping carries at most 125 bytes, not 126"),
        (INVALID[1], "1005 must not be in a Close frame"),
        (INVALID[5], f"a close reason has at most 123 bytes: {'x' * 124!r}"),
        (INVALID[7], "timeout must be a number of seconds, 0 or more, not -1"),
        (INVALID[9], "timeout must be a number of seconds, 0 or more, not -1"),
    ],
)
@in_no_time
async def test_refusals_say_why(call: Callable[[Connected], None], text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        call(Connected())
    assert str(refusal.value) == text
