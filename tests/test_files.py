"""What is served as files and as a page, wherever it is mounted and whoever asks."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import Any
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from hypercorn.middleware import DispatcherMiddleware
from litestar import Litestar, asgi
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import asgi_keepalive.browser
from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.files import PROTECTION, path
from asgi_keepalive.observers.live import LiveConnections

from .conftest import Serve
from .support.client import Client
from .support.fake_loop import in_no_time
from .support.server import running
from .support.serving import serving

DASHBOARD = Dashboard(LiveConnections())
APPLICATIONS: list[Any] = [asgi_keepalive.browser.files, DASHBOARD]


@pytest.mark.parametrize(
    ("asked", "root_path", "below"),
    [
        # The path has all of root_path, as the specification says,
        ("/app/at/x", "/app/at", "/x"),
        ("/app/at/", "/app/at", "/"),
        ("/app/at", "/app/at", ""),
        # or none of it,
        ("/x", "/app/at", "/x"),
        ("/", "/app/at", "/"),
        ("", "/app/at", ""),
        # or only its end, behind a proxy that takes off the rest.
        ("/at/x", "/app/at", "/x"),
        ("/at/", "/app/at", "/"),
        ("/at", "/app/at", ""),
        ("/a/b/x", "/app/v1/a/b", "/x"),
        ("/b/x", "/app/v1/a/b", "/x"),
        # Segments are whole.
        ("/attic/x", "/at", "/attic/x"),
        ("/attic", "/at", "/attic"),
        ("/at/x", "/chat", "/at/x"),
        ("/at/at/x", "/at", "/at/x"),
        # Slashes at the end belong to either.
        ("/app//x", "/app/", "/x"),
        ("/app/x", "/app/", "/x"),
        ("/app/", "/app/", "/"),
        ("/app", "/app/", ""),
        ("/app/at/x", "/app//at", "/x"),
        ("//x", "/", "/x"),
        ("/x", "/", "/x"),
        ("/", "/", "/"),
        # Without a mount.
        ("/x", "", "/x"),
        ("/x", None, "/x"),
        ("/", "", "/"),
        ("*", "/at", "*"),
    ],
)
def test_path(asked: str, root_path: str | None, below: str) -> None:
    assert path({"path": asked, "root_path": root_path}) == below


@pytest.mark.parametrize(
    ("asked", "raw_path", "below"),
    [
        ("/x/", b"/at/x", "/x"),  # as Litestar ends it
        ("/x/", b"/at/x/", "/x/"),
        ("/", b"/at", ""),
        ("/", b"/at/", "/"),
        ("", b"/at/", "/"),
        ("", b"/at", ""),
        ("/", b"/at?a/", ""),
        ("/", b"/at/?a", "/"),
        ("/x", b"/", "/x"),
        ("/x/", b"", "/x/"),
        ("/x/", None, "/x/"),
    ],
)
def test_slash_at_the_end(asked: str, raw_path: bytes | None, below: str) -> None:
    assert path({"path": asked, "root_path": "/at", "raw_path": raw_path}) == below


def test_path_without_a_root_path() -> None:
    assert path({"path": "/x"}) == "/x"


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *args: Any) -> None:
        return None


opener = urllib.request.build_opener(Stay)


def get(url: str) -> tuple[int, Message, bytes]:
    """Return status, headers and body."""
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, b""


def mounts(prefix: str = "") -> list[Mount]:
    return [
        Mount(f"{prefix}/dash", DASHBOARD),
        Mount(f"{prefix}/page", asgi_keepalive.browser.files),
    ]


def fastapi() -> Any:
    app = FastAPI()
    app.mount("/dash", DASHBOARD)
    app.mount("/page", asgi_keepalive.browser.files)
    return app


def fastapi_that_knows_its_proxy() -> Any:
    app = fastapi()
    app.root_path = "/proxied"
    return app


def litestar() -> Any:
    handlers = [
        asgi("/dash", is_mount=True, copy_scope=True)(DASHBOARD),
        asgi("/page", is_mount=True, copy_scope=True)(asgi_keepalive.browser.files),
    ]
    return Litestar(handlers, openapi_config=None)


def dispatching(strips: bool) -> Any:
    """Return a plain application, which takes what it mounts at off the path or does not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        whole = scope["path"].removeprefix(scope["root_path"])
        mounted: dict[str, Any] = {"/dash": DASHBOARD, "/page": asgi_keepalive.browser.files}
        root_path = scope["root_path"] + whole[:5]
        scope = {**scope, "root_path": root_path}
        if strips:
            scope["path"] = whole[5:]
        await mounted[whole[:5]](scope, receive, send)

    return app


MOUNTED: dict[str, tuple[Callable[[], Any], str]] = {
    "Starlette": (lambda: Starlette(routes=mounts()), ""),
    "nested": (lambda: Starlette(routes=[Mount("/a", routes=mounts("/b"))]), "/a/b"),
    "with a parameter": (lambda: Starlette(routes=mounts("/{tenant}")), "/x"),
    "sub-application": (lambda: Starlette(routes=[Mount("/a", Starlette(routes=mounts()))]), "/a"),
    "FastAPI": (fastapi, ""),
    "FastAPI(root_path)": (fastapi_that_knows_its_proxy, ""),
    "Litestar": (litestar, ""),
    "dispatched": (lambda: dispatching(strips=False), ""),
    "dispatched and stripped": (lambda: dispatching(strips=True), ""),
    "hypercorn's dispatcher": (
        lambda: DispatcherMiddleware({"/dash": APPLICATIONS[1], "/page": APPLICATIONS[0]}),
        "",
    ),
}
"""How they may be mounted, and what stands before that."""

CANNOT = {
    # FastAPI overwrites what the server says; the dispatcher sees a path with the prefix.
    "uvicorn": {"FastAPI(root_path)", "hypercorn's dispatcher"},
    # Starlette's own mounts do not find a nested one whose path lacks the prefix.
    "hypercorn": {"nested", "sub-application"},
}


@pytest.mark.parametrize("how", MOUNTED)
@pytest.mark.parametrize("root_path", ["", "/proxied"])
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_mounted(server: str, root_path: str, how: str) -> None:
    """With `--root-path`, uvicorn puts the prefix before the path, hypercorn does not."""
    make, before = MOUNTED[how]
    if root_path and how in CANNOT[server]:
        pytest.skip("it is not reached")
    ws = "auto" if server == "uvicorn" else server
    with running(serving(make(), ws=ws, loop="asyncio", root_path=root_path)) as served:
        url = f"http://127.0.0.1:{served.port}{before}"
        status, headers, _ = get(f"{url}/dash")
        assert status == 307
        assert urljoin(f"{url}/dash", headers["location"]).endswith(f"{before}/dash/")
        assert b"<title>Connections" in get(f"{url}/dash/")[2]
        for name in "dashboard.js", "dashboard.css", "connections.json?limit=1":
            assert get(f"{url}/dash/{name}")[0] == 200
        assert b"KeepaliveWebSocket" in get(f"{url}/page/keepalive.js")[2]
        for name in "dash/keepalive.js", "page/", "page", "page/dashboard.js", "dash/dashboard.js/":
            assert get(f"{url}/{name}")[0] in (307, 404)
            assert get(f"{url}/{name}/")[0] == 404


@pytest.mark.parametrize(
    ("scope", "location"),
    [
        ({"path": "/a/b", "root_path": "/a/b"}, b"b/"),
        ({"path": "/", "raw_path": b"/a/%C3%A9?b"}, b"%C3%A9/"),
        ({"path": "", "root_path": "/\xe9%"}, b"%C3%A9%25/"),
        ({"path": "/https:x.org", "root_path": "/https:x.org"}, b"https%3Ax.org/"),
        ({"path": "/", "raw_path": b"/https:x.org"}, b"https%3Ax.org/"),
        ({"path": "/a\r\nb", "root_path": "/a\r\nb"}, b"a%0D%0Ab/"),
    ],
)
@in_no_time
async def test_redirect_stays_where_it_is(scope: dict[str, Any], location: bytes) -> None:
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    await DASHBOARD({"type": "http", "method": "GET", **scope}, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 307
    assert (b"location", location) in sent[0]["headers"]


@pytest.mark.parametrize("app", APPLICATIONS)
def test_websocket_is_refused(serve: Serve, app: Any) -> None:
    """And nothing is logged, which `serve` sees to."""
    server = serve(app)
    for asked in "/", "/keepalive.js", "/connections.json", "":
        with Client(server.port, path=asked or "/x") as client:
            assert " 403 " in client.response()


@pytest.mark.parametrize("app", APPLICATIONS)
def test_lifespan(app: Any) -> None:
    with TestClient(app) as client:
        assert client.get("/none").status_code == 404


@pytest.mark.parametrize("app", APPLICATIONS)
@in_no_time
async def test_unknown_type(app: Any) -> None:
    with pytest.raises(ValueError, match="this is served over http, not other"):
        await app({"type": "other"}, None, None)


@pytest.mark.parametrize("app", APPLICATIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "asked",
    [
        *("/", "/none", "/keepalive.js", "/dashboard.js", "/connections.json"),
        "/connections.json?x",
    ],
)
def test_every_response_is_protected(app: Any, method: str, asked: str) -> None:
    headers = TestClient(app).request(method, asked, headers={"if-none-match": "*"}).headers
    for name, value in PROTECTION:
        assert headers[name.decode()] == value.decode()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].endswith("frame-ancestors 'none'")
