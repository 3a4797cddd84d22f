"""Serving the page's half."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files as resources
from typing import NamedTuple

from ..extension import Receive, Scope, Send

TYPES = {
    "keepalive.js": b"text/javascript; charset=utf-8",
    # It has no registered type; that of the ending is a video.
    "keepalive.d.ts": b"text/plain; charset=utf-8",
}


class File(NamedTuple):
    """What is served, with its entity tag (RFC 9110 8.8.3)."""

    body: bytes
    tag: bytes
    media_type: bytes


def _load() -> dict[str, File]:
    loaded = {}
    for name, media_type in TYPES.items():
        body = (resources(__package__) / name).read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
        loaded[f"/{name}"] = File(body, tag, media_type)
    return loaded


class Files:
    """An ASGI application that serves the files of this package, and nothing else."""

    @functools.cached_property
    def _files(self) -> dict[str, File]:
        return _load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD; with 304 if the client has it."""
        if scope["type"] != "http":
            raise ValueError(f"files are served over http, not {scope['type']}")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        file = self._files.get(path)
        headers = []
        body = b""
        if scope["method"] not in {"GET", "HEAD"}:
            status, headers = 405, [(b"allow", b"GET, HEAD")]
        elif file is None:
            status = 404
        else:
            headers = [(b"etag", file.tag), (b"cache-control", b"no-cache")]
            status = 304 if _has(scope, file.tag) else 200
            if status == 200:
                body = file.body
                headers += [
                    (b"content-type", file.media_type),
                    (b"x-content-type-options", b"nosniff"),
                ]
        if status != 304:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["method"] == "HEAD":
            body = b""
        await send({"type": "http.response.body", "body": body})


def _has(scope: Scope, tag: bytes) -> bool:
    """Whether the client says that it has what the tag stands for (RFC 9110 13.1.2)."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            tags = [one.strip().removeprefix(b"W/") for one in value.split(b",")]
            return tag in tags or b"*" in tags
    return False


files = Files()
"""The application to mount."""
