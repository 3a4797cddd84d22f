"""Clients in a process of their own, which answer a Close frame before the server's next step.

`python -m tests.faults.differential.quick PORT NUMBER [CERTIFICATE]` connects one after the other,
and prints how often each way of ending was seen, as JSON.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections import Counter

from .wire import Wire, answering


def main(port: int, number: int, certificate: str | None = None) -> None:
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    ends: Counter[str] = Counter()
    for _ in range(number):
        wire = Wire(port, "/", tls=tls)
        wire.on_close = answering
        while wire.end is None:
            wire.pump()
        ends[wire.end] += 1
        wire.close()
    print(json.dumps(ends))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
