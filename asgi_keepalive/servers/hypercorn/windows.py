"""Withholding the window of one HTTP/2 stream (RFC 9113 5.2), so that the others go on.

hypercorn stops reading from the whole connection instead, for as long as one application is behind.
"""

from __future__ import annotations

from asyncio import Queue
from collections.abc import Callable
from typing import Any


class Window:
    """The window of a stream, as far as its peer may use it.

    Args:
        give_back: Lets the peer send so many bytes more on this stream.
    """

    __slots__ = ("_give_back", "_withheld", "is_withheld")

    def __init__(self, give_back: Callable[[int], None]) -> None:
        self.is_withheld = False
        self._give_back = give_back
        self._withheld = 0

    def withhold(self) -> None:
        """Let the peer send no more than its window has room for."""
        self.is_withheld = True

    def release(self) -> None:
        """Let the peer go on."""
        self.is_withheld = False
        size, self._withheld = self._withheld, 0
        if size:
            self._give_back(size)

    def keep(self, size: int) -> None:
        """So many bytes have come while it is withheld."""
        self._withheld += size


class Upload:
    """The body of an HTTP request on the same connection; nothing waits until there is room for it.

    Its application finds its events in the queue that it had, as many of them as fit there. What
    comes meanwhile is joined, and the stream's window is withheld.

    Args:
        queue: From which the application receives.
        window: Of the stream.
    """

    def __init__(self, queue: Queue[Any], window: Window) -> None:
        self.window = window
        self._body = bytearray()
        self._get = queue._get
        self._last: list[Any] = []  # the end of the body, and that of the connection
        self._queue = queue
        queue._get = self._get_and_refill  # type: ignore[method-assign]

    async def put(self, event: Any) -> None:
        """Add an event, as hypercorn does."""
        if not self._queue.full() and not self._body and not self._last:
            self._queue.put_nowait(event)
        elif event.get("more_body"):
            self._body += event["body"]
            self.window.withhold()
        else:
            self._last.append(event)

    def _get_and_refill(self) -> Any:
        event = self._get()
        if self._body:
            body = bytes(self._body)
            self._body.clear()
            self._queue.put_nowait({"type": "http.request", "body": body, "more_body": True})
        elif self._last:
            self._queue.put_nowait(self._last.pop(0))
        if self.window.is_withheld:
            self.window.release()
        return event
