"""`asgi-keepalive probe`: what a path does to WebSocket connections, seen from a client."""
