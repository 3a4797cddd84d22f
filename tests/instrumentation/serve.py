"""`python -m tests.instrumentation.serve`: serve the application on every server at once.

Most packages take seconds to import, so a process for each server would take minutes. The servers
run in threads, each with an event loop of its own. The first line tells the ports.
"""

from __future__ import annotations

import signal
import sys

from ..support.server import wait_until
from ..support.serving import serving
from .app import app
from .handlers import tell

if __name__ == "__main__":
    servers = {ws: serving(app, ws=ws, loop="asyncio") for ws in sys.argv[1:]}
    for server in servers.values():
        server.thread.start()
        wait_until(server.is_up)
    tell(**{ws: server.port for ws, server in servers.items()})
    signal.sigwait({signal.SIGTERM})
