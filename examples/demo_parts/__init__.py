"""The parts of `demo.py`: two servers, four clients of each, and a screen."""

INTERVAL = TIMEOUT = CLOSE_TIMEOUT = 1.0
"""The settings of both servers, in seconds."""

WORK = 4.0
"""Seconds that busy's handler works on one message."""

MARGIN = 1.5
"""Seconds by which a busy machine may make anything late."""

WATCHED = 6.0
"""Seconds for which the clients are watched."""


class Failure(Exception):
    """The demo cannot show what it promises."""
