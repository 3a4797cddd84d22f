"""The endpoint that is probed, and how to ask for a connection to it."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from websockets.exceptions import InvalidURI
from websockets.uri import WebSocketURI, parse_uri

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 5.6.2."""

HANDSHAKE = {"connection", "sec-websocket-key", "sec-websocket-version", "upgrade"} | {
    *("sec-websocket-extensions", "sec-websocket-protocol")
}
"""The headers that belong to the handshake."""


@dataclass(frozen=True)
class Target:
    """An endpoint.

    Attributes:
        headers: Additional headers of the request.
        tls: What verifies the server, for wss.
        message: A text message that is sent as soon as a connection is open.
        timeout: Seconds that may pass until a connection is open, or until a Pong.
    """

    uri: WebSocketURI
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    message: str | None = None
    timeout: float = 10.0

    def asking(self, parameter: str) -> Self:
        """Return this endpoint with one more parameter in its query."""
        query = "&".join(filter(None, [self.uri.query, parameter]))
        return replace(self, uri=replace(self.uri, query=query))


def parse_url(url: str) -> WebSocketURI:
    """Parse an URL.

    Raises:
        ValueError: It is none of a WebSocket.
    """
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"{url!r} has a space or a control character in it")
    try:
        if urlsplit(url).port == 0:
            raise ValueError("there is no port 0")
        return parse_uri(url)
    except InvalidURI as error:
        raise ValueError(str(error)) from None
    except ValueError as error:  # of the standard library, about the port or the address
        raise ValueError(f"{url} isn't a valid URI: {error}") from None


def parse_header(line: str) -> tuple[str, str]:
    """Return name and value of a header.

    Raises:
        ValueError: It is no header, or one that belongs to the handshake.
    """
    name, colon, value = line.partition(":")
    if not (colon and TOKEN.fullmatch(name)):
        raise ValueError(f"{line!r} is not a header, as in 'Name: value'")
    if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value):
        raise ValueError(f"{line!r} has a character in it that no header may have")
    if name.lower() in HANDSHAKE:
        raise ValueError(f"{name} belongs to the handshake and cannot be given")
    return name, value.strip()


def parse_message(text: str) -> str:
    """Return a text that can be sent.

    Raises:
        ValueError: It is not valid Unicode, and a text message is UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is no text, and only text can be sent") from None
    return text


def parse_subprotocol(name: str) -> str:
    """Return the name of a subprotocol.

    Raises:
        ValueError: No subprotocol has such a name.
    """
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a subprotocol")
    return name


def tls_context(ca: str | None) -> ssl.SSLContext:
    """Return what verifies a server.

    Args:
        ca: A file of certificates to trust; `None` for those of the system.

    Raises:
        ValueError: The file cannot be read, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"{ca}: {reason}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
