"""The lines of JSON between the checks and the application in the server."""

from __future__ import annotations

import json
from typing import Any


def encoded(message: Any) -> bytes:
    """Return a message as one line; bytes may be in it."""
    return json.dumps(message, default=lambda data: {"hex": bytes(data).hex()}).encode() + b"\n"


def decoded(line: bytes) -> Any:
    """Return the message of a line."""
    return json.loads(line, object_hook=_bytes)


def _bytes(found: dict[str, Any]) -> Any:
    return bytes.fromhex(found["hex"]) if found.keys() == {"hex"} else found
