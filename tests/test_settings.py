"""What the settings may be, and how clearly the rest is refused."""

from __future__ import annotations

import dataclasses
import logging
from math import inf, nan
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.settings import Settings
from asgi_keepalive.text import shown

HUGE = 10**400
"""A number that no float can hold."""

POSITIVE = "must be a positive number of seconds or None"
NOT_NEGATIVE = "must be a number of seconds, 0 or more"


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("never called")


class Odd:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __repr__(self) -> str:
        return "<odd>"


def refusal(
    caplog: pytest.LogCaptureFixture, keyword: str, value: object, error: type[Exception]
) -> str:
    """Return the text of the exception; the log must say it, and of what."""
    settings: dict[str, Any] = {keyword: value}
    with pytest.raises(error) as raised:
        KeepaliveMiddleware(app, **settings)
    assert type(raised.value) is error
    line = f"KeepaliveMiddleware: {raised.value}"
    assert caplog.record_tuples == [("asgi_keepalive", logging.ERROR, line)]
    return str(raised.value)


@pytest.mark.parametrize("keyword", ["ping_interval", "ping_timeout"])
class TestIntervalAndTimeout:
    @pytest.mark.parametrize(
        "value", [0, 0.0, -0.0, -1, -0.001, nan, inf, -inf, HUGE, -HUGE], ids=repr
    )
    def test_number_that_is_no_time(
        self, caplog: pytest.LogCaptureFixture, keyword: str, value: float
    ) -> None:
        text = refusal(caplog, keyword, value, ValueError)
        assert text == f"{keyword} {POSITIVE}, not {shown(value)}"

    @pytest.mark.parametrize(
        "value", [True, False, "20", b"", 1j, (), [20], Odd(), float], ids=repr
    )
    def test_other_type(
        self, caplog: pytest.LogCaptureFixture, keyword: str, value: object
    ) -> None:
        text = refusal(caplog, keyword, value, TypeError)
        assert text == f"{keyword} {POSITIVE}, not {shown(value)}"

    @pytest.mark.parametrize("value", [1, 20.0, 0.001, 5e-324, 1e308, 10**300, None])
    def test_accepted(
        self, caplog: pytest.LogCaptureFixture, keyword: str, value: float | None
    ) -> None:
        settings: dict[str, Any] = {keyword: value}
        middleware = KeepaliveMiddleware(app, **settings)
        assert middleware.settings == dataclasses.replace(Settings(), **settings)
        assert caplog.records == []


class TestCloseTimeout:
    @pytest.mark.parametrize("value", [-1, -0.001, nan, inf, -inf, HUGE, -HUGE], ids=repr)
    def test_number_that_is_no_time(self, caplog: pytest.LogCaptureFixture, value: float) -> None:
        text = refusal(caplog, "close_timeout", value, ValueError)
        assert text == f"close_timeout {NOT_NEGATIVE}, not {shown(value)}"

    @pytest.mark.parametrize("value", [None, True, False, "10", b"", 1j, [], Odd()], ids=repr)
    def test_other_type(self, caplog: pytest.LogCaptureFixture, value: object) -> None:
        text = refusal(caplog, "close_timeout", value, TypeError)
        assert text == f"close_timeout {NOT_NEGATIVE}, not {shown(value)}"

    @pytest.mark.parametrize("value", [0, 0.0, 10, 0.5])
    def test_accepted(self, value: float) -> None:
        assert KeepaliveMiddleware(app, close_timeout=value).settings == Settings(20, 20, value)


class TestLiveness:
    @pytest.mark.parametrize(
        ("value", "error"),
        [
            *((value, ValueError) for value in ("", "Pong", "traffic", "pong ")),
            *((value, TypeError) for value in (None, True, 1, b"pong", ["pong"], Odd())),
        ],
        ids=repr,
    )
    def test_anything_else(
        self, caplog: pytest.LogCaptureFixture, value: object, error: type[Exception]
    ) -> None:
        text = refusal(caplog, "liveness", value, error)
        assert text == f'liveness must be "pong" or "progress", not {shown(value)}'

    @pytest.mark.parametrize("value", ["pong", "progress"])
    def test_accepted(self, value: Any) -> None:
        assert KeepaliveMiddleware(app, liveness=value).settings == Settings(20, 20, 10, value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ping_timeout": 0}, "ping_timeout must be a positive number of seconds or None, not 0"),
        (
            {"ping_interval": "20"},
            "ping_interval must be a positive number of seconds or None, not '20'",
        ),
        ({"close_timeout": None}, "close_timeout must be a number of seconds, 0 or more, not None"),
        # With several faults, the first one in the order of the signature.
        (
            {"close_timeout": -1, "ping_timeout": -2},
            "ping_timeout must be a positive number of seconds or None, not -2",
        ),
    ],
)
def test_refusal_names_keyword_expectation_and_value(settings: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        KeepaliveMiddleware(app, **settings)
    assert str(raised.value) == text


def test_defaults() -> None:
    settings = KeepaliveMiddleware(app).settings
    assert dataclasses.asdict(settings) == {
        "ping_interval": 20.0,
        "ping_timeout": 20.0,
        "close_timeout": 10.0,
        "liveness": "pong",
        "required": False,
        "max_age": None,
        "notice": 5.0,
        "drain_window": None,
    }


def test_middleware_shows_itself() -> None:
    middleware = KeepaliveMiddleware(Odd(), ping_timeout=None)
    assert repr(middleware) == (
        "<KeepaliveMiddleware around <odd>: ping_interval=20.0, ping_timeout=None, "
        "close_timeout=10.0, liveness='pong', required=False, max_age=None, notice=5.0, "
        "drain_window=None>"
    )


def test_settings_never_change() -> None:
    settings = KeepaliveMiddleware(app).settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.ping_interval = 1  # type: ignore[misc]


def test_settings_are_given_by_keyword() -> None:
    with pytest.raises(TypeError, match="positional"):
        KeepaliveMiddleware(app, 20)  # type: ignore[call-arg]


def test_unknown_setting() -> None:
    with pytest.raises(TypeError, match="ping_intervall"):
        KeepaliveMiddleware(app, ping_intervall=20)  # type: ignore[call-arg]
