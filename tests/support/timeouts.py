"""What tests on real servers ask for, and what an application is told when a peer is dead."""

from __future__ import annotations

INTERVAL = 0.2
TIMEOUT = 0.3
CLOSE_TIMEOUT = 0.5
LATE = 1.0
"""How much later than promised, in seconds, a loaded machine may be."""

LOGGED = 0.02
"""How long after a Ping was written, in seconds, a busy machine may log it."""

FAILED = {"type": "websocket.disconnect", "code": 1011, "reason": "keepalive ping timeout"}
