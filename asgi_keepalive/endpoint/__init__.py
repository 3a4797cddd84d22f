"""The server's half of the `websocket.ping` extension, for any server."""
