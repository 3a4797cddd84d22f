"""A client that runs as a process of its own, so that it can be killed and frozen.

`python -m tests.faults.peer URL` connects, tells stdout so, reads and answers Pings until the end
of the connection, and tells the close code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from ..support.process import Process


@contextmanager
def peer(url: str) -> Iterator[Process]:
    """Run such a client, connected, until the end of the block."""
    process = Process(sys.executable, "-m", __name__, url)
    try:
        assert process.told() == {"open": True}
        yield process
    finally:
        process.popen.kill()
        process.popen.wait()
        process.close()


def main(url: str) -> None:
    with connect(url, ping_interval=None, max_size=None) as websocket:
        print(json.dumps({"open": True}))
        with suppress(ConnectionClosedError):
            for _ in websocket:
                pass
        print(json.dumps({"code": websocket.close_code, "reason": websocket.close_reason}))


if __name__ == "__main__":
    main(sys.argv[1])
