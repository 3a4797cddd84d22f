"""Heartbeats for pages, from which browsers hide Pings; `docs/browser.md` specifies them.

`files` is an ASGI application that serves the page's half, the module `keepalive.js`.

Example::

    app.mount("/keepalive", asgi_keepalive.browser.files)
"""

from ..files import Files

__all__ = ["files"]

files = Files(__name__, "keepalive.js", "keepalive.d.ts")
"""The application to mount."""
