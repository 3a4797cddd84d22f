"""Guesses at what has ended a connection, and at what stands on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import Ending

DOCS = "https://asgi-keepalive.readthedocs.io/en/latest/"


@dataclass(frozen=True)
class Guess:
    """What has ended a connection, in all likelihood, and how one knows."""

    hop: str
    why: str


SERVER = "the server"
PROXY = "a proxy"
FIREWALL = "a NAT, a firewall or a load balancer"

KEEPALIVE = Guess(SERVER, "its keepalive says so, in a Close frame 1011")
SPEAKS = Guess(
    SERVER, "a Close frame came; a gateway that ends the WebSocket itself does that, too"
)
FAILED = Guess(SERVER, "it sent what the client had to fail the connection for")
IN_ORDER = Guess(
    PROXY, "TCP was closed in order and no Close frame came, so it does not speak WebSocket"
)
RESET = Guess(PROXY, "TCP was reset unasked; a firewall or a load balancer does that, too")
FORGOTTEN = Guess(FIREWALL, "it had forgotten the connection: what came next was answered by RST")
DROPPED = Guess(FIREWALL, "it had forgotten the connection, and answers nothing")


def guess(ending: Ending | None) -> Guess:
    """Guess what has ended a connection; `None` is one on which a Ping was not answered."""
    if ending is None:
        return DROPPED
    if ending.error is not None:
        return FAILED
    if ending.close_code is not None:
        return KEEPALIVE if ending.close_code == 1011 else SPEAKS
    if ending.how in ("FIN", "close_notify"):
        return IN_ORDER
    return FORGOTTEN if ending.asked else RESET


@dataclass(frozen=True)
class Product:
    """Something that may stand on the way.

    Attributes:
        name: Its name.
        signs: What the headers by which it speaks of itself contain, in lower case.
        setting: What bounds the idle time; empty if nobody can set it.
        page: Where the documentation tells of it.
    """

    name: str
    signs: tuple[str, ...]
    setting: str
    page: str


PRODUCTS = (
    Product("nginx", ("nginx", "openresty"), "proxy_read_timeout", "deployment.html#nginx"),
    Product("Apache httpd", ("apache",), "Timeout", "deployment.html#apache-httpd"),
    Product("lighttpd", ("lighttpd",), "server.max-read-idle", "deployment.html#lighttpd"),
    Product("Varnish", ("varnish",), "pipe_timeout", "deployment.html#varnish"),
    Product("Caddy", ("caddy",), "stream_timeout", "deployment.html#caddy"),
    Product("Envoy", ("envoy",), "stream_idle_timeout", "timeouts.html#idle-limits"),
    Product("Cloudflare", ("cloudflare", "cf-ray"), "", "timeouts.html#idle-limits"),
    Product("AWS", ("awselb", "cloudfront"), "the idle timeout", "timeouts.html#idle-limits"),
    Product(
        "Google Cloud",
        ("google",),
        "the timeout of the backend service",
        "timeouts.html#limits-that-no-ping-can-help",
    ),
    Product("Heroku", ("heroku", "vegur"), "", "timeouts.html#idle-limits"),
    Product("Fly.io", ("fly-request-id", "fly.io"), "", "timeouts.html#idle-limits"),
)

QUIET = (
    "HAProxy (timeout tunnel), Apache httpd (Timeout), Varnish (pipe_timeout) or lighttpd"
    " (server.max-read-idle)"
)
"""Those that leave the headers of an upgrade as the server wrote them, and their limits."""

DEFAULTS = {
    30: "Google Cloud's load balancer",
    50: "HAProxy as Debian configures it",
    55: "Heroku",
    60: "nginx, Apache httpd, Varnish, lighttpd and AWS's load balancers",
    100: "Cloudflare",
    240: "Azure Load Balancer",
    300: "Envoy and Azure Front Door",
    350: "AWS Network Load Balancer",
    600: "AWS CloudFront",
}
"""The idle limits that some have by default, in seconds."""


def products(headers: Sequence[tuple[str, str]]) -> list[Product]:
    """Return what the headers of a response tell of."""
    text = "\n".join(f"{name}: {value}" for name, value in headers).lower()
    return [one for one in PRODUCTS if any(sign in text for sign in one.signs)]


def default(limit: float) -> str | None:
    """Return whose default an idle limit is, in seconds."""
    for seconds, whose in DEFAULTS.items():
        if abs(limit - seconds) < 1.5:
            return whose
    return None
