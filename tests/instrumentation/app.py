"""`app` is an application with the packages that BETWEEN in the environment names.

Over HTTP it answers with what the instrumentation has seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from . import packages

Seen = Callable[[], list[str]]


class Showing:
    """Answers HTTP with what the instrumentation has seen of another application."""

    def __init__(self, app: Any, seen: Seen) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = json.dumps(self.seen()).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


app = Showing(*getattr(packages, os.environ["BETWEEN"])())
