"""Serving the files of a package over HTTP, and nothing else."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from importlib.resources import files as resources
from typing import NamedTuple

from .extension import Receive, Scope, Send

MEDIA_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    # TypeScript has no registered type; that of its ending is a video.
    ".ts": b"text/plain; charset=utf-8",
}

Headers = list[tuple[bytes, bytes]]

PROTECTION = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
)
"""The headers of every response: nothing else is loaded, framed or taken for another type."""


class File(NamedTuple):
    """A file to serve, with its entity tag (RFC 9110 8.8.3)."""

    body: bytes
    tag: bytes
    media_type: bytes


class Files:
    """An ASGI application that serves files of a package by their names.

    Args:
        package: The full name of the package.
        names: The names of the files in it.
    """

    def __init__(self, package: str, *names: str) -> None:
        self._package = package
        self._names = names

    @functools.cached_property
    def _files(self) -> dict[str, File]:
        loaded = {}
        for name in self._names:
            body = (resources(self._package) / name).read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
            loaded[f"/{name}"] = File(body, tag, MEDIA_TYPES[name[name.rindex(".") :]])
        return loaded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD, with 304 if the client has the file."""
        if await refused(scope, receive, send):
            return
        file = self._files.get(path(scope))
        if file is None:
            await respond(scope, send, 404)
            return
        headers = [(b"etag", file.tag), (b"cache-control", b"no-cache")]
        if _has(scope, file.tag):
            await respond(scope, send, 304, headers)
            return
        headers.append((b"content-type", file.media_type))
        await respond(scope, send, 200, headers, file.body)


def path(scope: Scope) -> str:
    """Return the path below where the application is mounted: nothing, or from a slash on."""
    whole: str = scope["path"]
    below = whole
    for mount in _mounts(scope.get("root_path") or ""):
        if whole.startswith(f"{mount}/") or whole == mount.rstrip("/"):
            below = whole[len(mount) :]
            break
    raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
    if not raw:
        return below
    # The client alone knows whether a slash ends its URL: Litestar ends each path below a mount
    # with one.
    return below or "/" if raw.endswith(b"/") else below.removesuffix("/")


def _mounts(root_path: str) -> Iterator[str]:
    """Yield the prefixes that a path may have, the longest first.

    By the specification the prefix is the whole of `root_path`. A proxy may have taken off its own
    part, and then the prefix is the end of `root_path`: the mounts in the application. In Litestar
    and in older versions of Starlette mounts take off their own part, too, and there is no prefix.
    The slash at the end of a prefix may be the one with which the path goes on.
    """
    for whole in root_path, root_path.replace("//", "/").rstrip("/"):
        yield whole
        yield from (whole[start:] for start, it in enumerate(whole) if it == "/")
    yield ""


async def refused(scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer a scope that asks for no file; return whether it was such a scope.

    A WebSocket, and a method other than GET and HEAD, are refused. A lifespan is taken part in.

    Raises:
        ValueError: The scope is of a type that ASGI does not know.
    """
    kind = scope["type"]
    if kind == "websocket":
        await send({"type": "websocket.close"})  # before accept: 403
    elif kind == "lifespan":
        for _ in "startup", "shutdown":
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
    elif kind != "http":
        raise ValueError(f"this is served over http, not {kind}")
    elif scope["method"] in {"GET", "HEAD"}:
        return False
    else:
        await respond(scope, send, 405, [(b"allow", b"GET, HEAD")])
    return True


async def begin(send: Send, status: int, headers: Headers) -> None:
    """Send the beginning of a response."""
    headers = [*headers, *PROTECTION]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def respond(
    scope: Scope, send: Send, status: int, headers: Headers | None = None, body: bytes = b""
) -> None:
    """Send a whole response; to HEAD, without its body."""
    headers = list(headers or ())
    if status != 304:
        headers.append((b"content-length", str(len(body)).encode()))
    await begin(send, status, headers)
    if scope["method"] == "HEAD":
        body = b""
    await send({"type": "http.response.body", "body": body})


def _has(scope: Scope, tag: bytes) -> bool:
    """Whether the client says that it has the file with this tag (RFC 9110 13.1.2)."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            tags = [one.strip().removeprefix(b"W/") for one in value.split(b",")]
            return tag in tags or b"*" in tags
    return False
