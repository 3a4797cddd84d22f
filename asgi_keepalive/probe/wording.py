"""Times and ends of connections in words."""

from __future__ import annotations

from .facts import Ending


def seconds(value: float) -> str:
    """Return a time as a person reads it."""
    if value >= 99.95:
        return f"{value:.0f} s"
    if value >= 0.9995 or not value:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 0.9995e-3 else f"{value * 1e6:.0f} µs"


def printable(text: str) -> str:
    """Return a text in which nothing that the other end has sent commands the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def ended(ending: Ending) -> str:
    """Say how a connection ended, without the time."""
    tcp = {"open": "TCP stays open", "close_notify": "only TLS is closed"}.get(
        ending.how, ending.how
    )
    if ending.error is not None:
        return f"the client had to fail the connection ({ending.error}), then {tcp}"
    if ending.close_code is None:
        return f"{tcp} without a Close frame"
    reason = f" ({ending.close_reason})" if ending.close_reason else ""
    code = "without a code" if ending.close_code == 1005 else str(ending.close_code)
    return f"Close frame {code}{reason}, then {tcp}"
