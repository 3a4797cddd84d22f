"""Firefox, driven by its own protocol, as not every system has geckodriver."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .needs import program
from .server import wait_until

PREFERENCES = """
user_pref("marionette.port", {port});
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
"""


class Firefox:
    """A browser with one page."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(60)
        self._replies = self._socket.makefile("rb")
        self._next = 0
        self._read()  # its greeting
        self._command("WebDriver:NewSession", acceptInsecureCerts=True)

    def close(self) -> None:
        self._command("Marionette:Quit", flags=["eForceQuit"])
        self._replies.close()
        self._socket.close()

    def get(self, url: str) -> None:
        """Open a page."""
        self._command("WebDriver:Navigate", url=url)

    def execute_script(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and return what it returns."""
        return self._run("WebDriver:ExecuteScript", script, arguments)

    def execute_async_script(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and return what it calls its last argument with."""
        return self._run("WebDriver:ExecuteAsyncScript", script, arguments)

    def _run(self, command: str, script: str, arguments: tuple[Any, ...]) -> Any:
        # Without a sandbox, so that one script finds what another has left.
        return self._command(command, script=script, args=arguments, sandbox=None)["value"]

    def _command(self, name: str, **parameters: Any) -> Any:
        self._next += 1
        message = json.dumps([0, self._next, name, parameters])
        self._socket.sendall(f"{len(message.encode())}:{message}".encode())
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._replies.read(1)
        return json.loads(self._replies.read(int(length[:-1])))


@contextmanager
def firefox(directory: Path) -> Iterator[Firefox]:
    """Run a browser with a profile of its own in this directory."""
    path = program("firefox-esr")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    (directory / "user.js").write_text(PREFERENCES.format(port=port))
    command = [path, "--headless", "--marionette", "--no-remote", "--profile", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_listening(port), timeout=60)
            browser = Firefox(port)
            yield browser
            browser.close()
        finally:
            process.terminate()


def is_listening(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
