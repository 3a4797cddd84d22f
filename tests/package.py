"""`python tests/package.py`: install the wheel in `dist` into a fresh environment, and play.

The quickstart of the documentation runs there on a real uvicorn. A real client talks to it, and is
then stopped, so that it times out.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
"""Seconds until something counts as failed."""

CLIENT = """
import json, sys
from websockets.sync.client import connect

with connect(sys.argv[1], ping_interval=None) as client:
    client.send("hello")
    print(json.loads(client.recv()), flush=True)
    for message in client:
        pass
"""
ECHO = "{'echo': 'hello', 'latency': None}"
LINE = "timed out, silent: nothing has come for"
LOOK = """
import asgi_keepalive
from importlib.resources import files

pages = ["browser/keepalive.js", "browser/keepalive.d.ts", "browser/package.json"]
for name in ["py.typed", *pages, "dashboard/index.html"]:
    assert (files(asgi_keepalive) / name).is_file(), name
print("asgi-keepalive", asgi_keepalive.__version__, "from", asgi_keepalive.__file__)
"""


def installed(folder: Path) -> Path:
    """Make an environment with nothing but the wheel and FastAPI; return its programs' folder."""
    [wheel] = (ROOT / "dist").glob("*.whl")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([programs / "pip", "install", "--quiet", wheel, "fastapi"], check=True)
    return programs


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited in vain until {what}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether something listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def running(output: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process until the end of the block; what it prints is in a file."""
    with (
        output.open("w") as file,
        subprocess.Popen(
            command,
            cwd=output.parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=file,
            stderr=file,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def play(programs: Path, folder: Path) -> None:
    """Run the quickstart and a client, which is told its echo and then stopped."""
    page = (ROOT / "docs" / "quickstart.md").read_text()
    [application] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (folder / "main.py").write_text(application)
    (folder / "client.py").write_text(CLIENT)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    told, heard = folder / "server.txt", folder / "client.txt"
    with running(told, programs / "uvicorn", "main:app", "--port", str(port)):
        wait_until(lambda: answers(port), "uvicorn listens")
        uri = f"ws://127.0.0.1:{port}/ws"
        with running(heard, programs / "python", "client.py", uri) as client:
            wait_until(lambda: ECHO in heard.read_text(), f"the client has read {ECHO}")
            client.send_signal(signal.SIGSTOP)
            wait_until(lambda: LINE in told.read_text(), f"the server has printed {LINE}")
    assert "Traceback" not in told.read_text(), told.read_text()


def main() -> None:
    """Install the wheel, and run the quickstart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = installed(folder / "environment")
        subprocess.run([programs / "python", "-c", LOOK], cwd=folder, check=True)
        play(programs, folder)
    print("OK: the quickstart runs from the wheel, and tells a timeout.")


if __name__ == "__main__":
    main()
