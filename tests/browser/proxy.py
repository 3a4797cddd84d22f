"""A network that can fall silent."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Passes TCP on, but for the time in which it swallows everything."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._passing = True
        self._sockets: list[socket.socket] = []
        self._forgotten: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        for one in self._listening, *self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def swallow(self) -> None:
        self._passing = False

    def heal(self) -> None:
        """Pass on what is connected from now on; the rest stays dead, as behind a NAT."""
        self._forgotten.update(self._sockets)
        self._passing = True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += near, far
                for pair in (near, far), (far, near):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._passing and source not in self._forgotten:
                    target.sendall(data)
