"""The numbered boxes of `docs/extension.md`."""

from __future__ import annotations

from collections.abc import Mapping

LEVELS: Mapping[int, tuple[str, ...]] = {
    1: ("take_over", "ping"),
    2: ("fail",),
    3: ("read_ahead",),
    4: ("bound_closing",),
    5: ("traffic",),
    6: ("announce_exit",),
}
"""The functions without which a level is not offered."""

BOXES: Mapping[str, str] = {
    "1.1": "`websocket.ping` is in every WebSocket scope, with both functions.",
    "1.2": "Without `take_over` the connection is as it was, the server's own keepalive included.",
    "1.3": "After `take_over` the peer sees no Ping but those asked for, and the server never "
    "times it out.",
    "1.4": "A second `take_over` raises `RuntimeError`, and the first callbacks stay in use.",
    "1.5": "A `ping` right after *Accept* has returned is on the wire with its payload. Payloads "
    "of 0 and 125 bytes work.",
    "1.6": "A payload of 126 bytes raises `ValueError`, and the connection works on.",
    "1.7": "`ping` returns at once while a `send` is blocked. The Ping follows what was buffered.",
    "1.8": "`on_pong` gets each Pong, the unsolicited too, while the application awaits something "
    "else, on the event loop's thread.",
    "1.9": "Its `time` lies between two readings of `time.monotonic()` around the call.",
    "1.10": "A Pong that precedes a protocol error or a Close frame in the same read is reported, "
    "and before `on_closing`.",
    "1.11": "`on_closing` comes exactly once after each of these: the application's *Close*, its "
    "denial, its return, its exception; the peer's Close frame, EOF, reset; a protocol error; the "
    "server's shutdown. It also comes for a peer that leaves before the first Ping, or before "
    "*Accept*.",
    "1.12": "A `take_over` on a connection that is closing or lost already calls `on_closing` "
    "before it returns.",
    "1.13": "`ping` raises an `OSError` before *Accept*, after a denial, after each ending of "
    "1.11, and while an application's *Close* is blocked.",
    "1.14": "After `on_closing` the server calls neither callback, and refers to neither.",
    "1.15": "It logs nothing as an error, but the application's exception.",
    "2.1": "A peer that reads gets what was buffered, then the Close frame with code and reason, "
    "then FIN (over TLS close_notify). If it closes then, it gets no RST.",
    "2.2": "A blocked `receive` and a blocked `send` end at once. The `send` raises an `OSError`.",
    "2.3": "Ready messages come in order, then the disconnect with that code and reason, and none "
    "that comes later. The second and third `receive` after them return the disconnect again.",
    "2.4": "Every later `send` raises an `OSError`, an application's *Close* included.",
    "2.5": "Reading resumes where it was paused: a peer that was blocked in sending can go on, "
    "and reads the Close frame.",
    "2.6": "With a peer that reads nothing and megabytes buffered, the kernel lists no socket of "
    "the connection, orphans included, once `timeout` has passed. A `timeout` of 0 works.",
    "2.7": "`fail` raises an `OSError` on a connection that is not open, and `ValueError` for "
    "codes 1005 and 1006, for a reason of 124 bytes and for a timeout of -1. None of these "
    "changes anything.",
    "2.8": "No callback is called by a `fail`, nor after it, and the server refers to none.",
    "2.9": "A `fail` inside `on_pong` works, and nothing that follows in the same read is "
    "delivered.",
    "3.1": "With one unread message less than the bound, Pongs are seen, the peer's Pings are "
    "answered, and its Close frame and EOF are noticed.",
    "3.2": "Far beyond the bound reading has stopped. `on_read_paused(True, time)` came once, and "
    "`on_read_paused(False, time)` comes after half has been received. No message is lost.",
    "3.3": "A read of 8 messages of 1 MiB, compressed to 8 KiB, leaves no more than the bound and "
    "one message in memory.",
    "3.4": "After the application's *Close* with more unread than the bound, the server sees the "
    "peer's Close frame, and TCP ends as if nothing had been unread.",
    "3.5": "A later `read_ahead` replaces the callback. After `on_closing` the server refers to "
    "none.",
    "4.1": "With a peer that reads nothing and megabytes buffered, the kernel lists no socket of "
    "the connection `timeout` after each of these: the application's *Close* (from when it "
    "reaches the server, though it blocks, and though it is then cancelled), the application's "
    "return, the server's shutdown.",
    "4.2": "The same holds after the peer's Close frame, after its EOF, and after a protocol "
    "error.",
    "4.3": "After the peer's EOF a blocked `send` of a message raises an `OSError`, and so does "
    "every later one.",
    "4.4": "A peer that acknowledges everything in time gets no RST, whichever side closes first, "
    "nor if much is unread.",
    "4.5": "A later call sets another bound, until the connection begins to close. A negative one "
    "raises `ValueError` and changes nothing.",
    "4.6": "After a protocol error the peer gets a Close frame that tells of it.",
    "5.1": "`unsent` is 0 with an idle peer, and more with one that reads nothing.",
    "5.2": "`quiet` counts from the peer's last frame, also from one that has not been read.",
    "5.3": "`traffic` returns an empty dictionary once the connection is closing.",
    "5.4": "`acknowledged` comes to what `acknowledged` + `unacknowledged` were right after a "
    "`ping`.",
    "5.5": "`received` grows by what the peer sends, also by what is unread.",
    "5.6": "`buffered` is 0 with an idle peer, and more with one that reads nothing.",
    "6.1": "When the server begins to exit, `on_exit` comes exactly once, on the event loop's "
    "thread, with 0 or more seconds, whether `announce_exit` was called before *Accept* or later.",
    "6.2": "Until that time has passed the connection works on, and the peer sees no end of it.",
    "6.3": "An application's *Close* and a `fail` within that time reach the peer as ever, and "
    "TCP ends.",
    "6.4": "`on_exit` is not called if the handshake is not complete when the server begins to "
    "exit, nor after `on_closing`. From then on, and after a `fail`, the server does not refer to "
    "it.",
    "6.5": "A later `announce_exit` replaces the callback.",
    "6.6": "The server exits once all connections have gone, whatever is left of the time.",
}
"""What the page says, by number."""


def level_of(box: str) -> int:
    """Return the level of a box."""
    return int(box.partition(".")[0])
