"""What browsers need, as they hide Pings from their pages; `docs/browser.md` specifies it.

`files` is an ASGI application that serves the page's half, the module `keepalive.js`:

    app.mount("/keepalive", asgi_keepalive.browser.files)
"""

from ..files import Files

__all__ = ["files"]

files = Files(__name__, "keepalive.js", "keepalive.d.ts")
"""The application to mount."""
