"""What browsers need, as they hide Pings from their pages; `docs/browser.md` specifies it.

`files` is an ASGI application that serves the page's half, the module `keepalive.js`:

    app.mount("/keepalive", asgi_keepalive.browser.files)
"""

from .serving import files

__all__ = ["files"]
