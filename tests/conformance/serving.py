"""A server in a thread of the test's own process, as the checks see it."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from asgi_keepalive.conformance.page import LEVELS
from asgi_keepalive.conformance.remote import Control
from asgi_keepalive.conformance.running import Result, run_checks
from asgi_keepalive.conformance.trial import Run

from ..support.server import Server

LOGGERS = "asyncio", "page_server", "uvicorn.error", "hypercorn.error", "daphne", "gunicorn.error"


class InProcess(logging.Handler):
    """Stands in the place of a process."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.port = server.port
        self._server = server
        self._text = ""
        self._exits = False
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._server.thread.ident:
            self._text += f"{self.format(record)}\n"

    def shut_down(self) -> None:
        if not self._exits:
            self._exits = True
            self._server.exit()

    def join(self) -> None:
        self._server.thread.join(20)

    def log(self) -> str:
        return self._text


@contextmanager
def logged(server: Server) -> Iterator[InProcess]:
    """Keep what a server logs."""
    target = InProcess(server)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(target)
    try:
        yield target
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(target)


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """Run a server, beside others in this process."""
    server.thread.start()
    while not server.is_up():
        time.sleep(0.005)
    try:
        yield server
    finally:
        server.socket.close()


def checked(
    server: Server,
    *,
    tls: ssl.SSLContext | None = None,
    keepalive: float | None = None,
    highest: int = max(LEVELS),
) -> Result:
    """Run the checks on a server that runs."""
    with logged(server) as target:
        control = Control()
        try:
            return run_checks(Run(target, control, tls, keepalive), highest)
        finally:
            control.stop()
