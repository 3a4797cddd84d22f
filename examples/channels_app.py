"""Django Channels, with the middleware around everything else.

    uvicorn examples.channels_app:app

JSON sent to /ws comes back with the connection's latency in seconds. PING_INTERVAL and
PING_TIMEOUT in the environment set how often to ask, how long to wait.
"""

from __future__ import annotations

import contextlib
import logging
import os

from channels.auth import AuthMiddlewareStack  # type: ignore[import-untyped]
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # type: ignore[import-untyped]
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout

logging.basicConfig(level=logging.INFO)

# In a project, this is its settings module.
settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="known to all",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
urlpatterns: list[object] = []


class Echo(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    async def receive_json(self, content: object) -> None:
        latency = self.scope["state"]["keepalive"].latency
        # Raised where `send_json` has to wait; if it left here, `disconnect` would not be called.
        with contextlib.suppress(KeepaliveTimeout):
            await self.send_json({"echo": content, "latency": latency})

    async def disconnect(self, code: int) -> None:
        logging.info("gone (%s)", code)


app = KeepaliveMiddleware(
    ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": AuthMiddlewareStack(URLRouter([path("ws", Echo.as_asgi())])),
        }
    ),
    ping_interval=float(os.environ.get("PING_INTERVAL", 20)),
    ping_timeout=float(os.environ.get("PING_TIMEOUT", 20)),
)
