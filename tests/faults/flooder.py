"""A client that runs as a process of its own, so that its work is not the server's.

`python -m tests.faults.flooder PORT OPCODE` sends a flood of control frames over one connection,
answers the server's Pings on another one meanwhile, and tells whether it got a Pong for its last
frame.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from contextlib import suppress

from ..support.client import TEXT, Client, frame

COUNT = 100_000
ANSWER = b"answer"


def main(port: int, opcode: int) -> None:
    with Client(port, path="/flood").open() as flooding, Client(port).open() as other:
        came = bytearray()

        def read() -> None:
            while not came.endswith(ANSWER):
                came.extend(flooding.socket.recv(2**20))

        def answer() -> None:
            with suppress(Exception):  # it ends when its socket is shut down
                other.answer(60)

        reading = threading.Thread(target=read)
        answering = threading.Thread(target=answer)
        reading.start()
        answering.start()
        flooding.socket.sendall(frame(opcode) * COUNT + frame(opcode, b"last"))
        flooding.send(TEXT, b"behind the flood")
        reading.join()
        other.socket.shutdown(socket.SHUT_RDWR)
        answering.join()
        print(json.dumps({"last": b"\x8a\x04last" in came}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
