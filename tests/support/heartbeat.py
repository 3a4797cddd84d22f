"""A heartbeat without a connection, and Pings that it sends."""

from __future__ import annotations

from typing import Any

from asgi_keepalive.heartbeat import Command, Heartbeat, Ping, SendPing
from asgi_keepalive.settings import Settings

START = 1000.0
UP_TO_DATE = 0.0
"""For `stall`: the event loop has not stood still."""


def opened(**settings: Any) -> Heartbeat:
    heartbeat = Heartbeat(Settings(**settings))
    heartbeat.open(START)
    return heartbeat


def sent(commands: list[Command]) -> Ping:
    """Return the Ping that is the one command."""
    [command] = commands
    assert isinstance(command, SendPing)
    return command.ping


def keepalive_ping(heartbeat: Heartbeat, payload: bytes = b"ping") -> Ping:
    """Let the next keepalive Ping be sent, when it is due."""
    return ping_at(heartbeat, heartbeat.wake_at, payload)


def ping_at(heartbeat: Heartbeat, now: float, payload: bytes = b"ping") -> Ping:
    """Let a keepalive Ping be sent that is due by now."""
    ping = sent(heartbeat.tick(now, payload, UP_TO_DATE))
    heartbeat.written(ping, now)
    return ping


def manual_ping(heartbeat: Heartbeat, payload: bytes, now: float) -> Ping:
    """Let a manual Ping be sent."""
    ping = heartbeat.ping(payload, now)
    heartbeat.written(ping, now)
    return ping
