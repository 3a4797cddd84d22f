"""Clients that answer a Close frame at once, as every library does, while the server closes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import trustme

from ...support.process import ROOT
from .stage import staged

CLIENTS = 50


async def goodbye(scope: Any, receive: Any, send: Any) -> None:
    """Say something, close and return, all at once."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "bye"})
    await send({"type": "websocket.close", "code": 4000})


def test_nobody_is_reset(ws: str, loop: str, scheme: str, tmp_path: Path) -> None:
    """The plain daphne resets all of them."""
    authority = trustme.CA()
    server, trusted = tmp_path / "server.pem", tmp_path / "trusted.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(server)
    authority.cert_pem.write_to_path(trusted)
    certificate = server if scheme == "wss" else None
    with staged("behind", ws, loop, certificate=certificate, application=goodbye) as stage:
        command = [sys.executable, "-m", "tests.faults.differential.quick"]
        arguments = [str(stage.server.port), str(CLIENTS), *([str(trusted)] if certificate else [])]
        run = subprocess.run(
            [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    ends = json.loads(run.stdout)
    assert "RST" not in ends, ends
    assert sum(ends.values()) == CLIENTS
