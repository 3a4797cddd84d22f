"""The server's half of the extension, for any server."""
