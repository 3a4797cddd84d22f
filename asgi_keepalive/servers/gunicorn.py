"""gunicorn's own `asgi` worker, which drops Pongs; with uvicorn's workers the server is uvicorn."""

from __future__ import annotations

from typing import Any

from ..extension import Receive, Send

ADVICE = (
    "gunicorn's own asgi worker sends no Pings and drops Pongs. Run gunicorn with "
    "--worker-class uvicorn_worker.UvicornWorker, of the package uvicorn-worker"
)


def attach(protocol: Any, receive: Receive, send: Send) -> str:
    """Decline, whatever the protocol is."""
    return ADVICE
