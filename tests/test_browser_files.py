"""Serving the page's half."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import asgi_keepalive.browser

from .support.fake_loop import in_no_time


class TestFiles:
    @pytest.fixture
    def client(self) -> TestClient:
        files = asgi_keepalive.browser.files
        return TestClient(Starlette(routes=[Mount("/keepalive", files)]))

    @pytest.mark.parametrize(
        ("name", "media_type"),
        [
            ("keepalive.js", "text/javascript; charset=utf-8"),
            ("keepalive.d.ts", "text/plain; charset=utf-8"),
        ],
    )
    def test_file(self, client: TestClient, name: str, media_type: str) -> None:
        answer = client.get(f"/keepalive/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        assert "KeepaliveWebSocket" in answer.text
        head = client.head(f"/keepalive/{name}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers == answer.headers

    def test_tag(self, client: TestClient) -> None:
        tag = client.get("/keepalive/keepalive.js").headers["etag"]
        assert tag != client.get("/keepalive/keepalive.d.ts").headers["etag"]
        for known in tag, f"W/{tag}", f'"other", {tag}', "*":
            answer = client.get("/keepalive/keepalive.js", headers={"if-none-match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
        answer = client.get("/keepalive/keepalive.js", headers={"if-none-match": '"other"'})
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "path",
        [
            *("/keepalive", "/keepalive/", "/keepalive/other.js", "/keepalive//keepalive.js"),
            *("/keepalive/%2e%2e/middleware.py", "/keepalive/..%2fmiddleware.py"),
            *("/keepalive/heartbeats.py", "/keepalive/%00", "/keepalive/keepalive.js/"),
        ],
    )
    def test_nothing_else(self, client: TestClient, path: str) -> None:
        assert client.get(path, follow_redirects=False).status_code in (307, 404)

    def test_method(self, client: TestClient) -> None:
        answer = client.post("/keepalive/keepalive.js")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")

    @in_no_time
    async def test_without_a_mount(self) -> None:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {"type": "http", "method": "GET", "path": "/keepalive.js", "headers": []}
        await asgi_keepalive.browser.files(scope, None, send)  # type: ignore[arg-type]
        assert sent[0]["status"] == 200
        assert sent[1]["body"]
        await asgi_keepalive.browser.files({**scope, "method": "HEAD"}, None, send)  # type: ignore[arg-type]
        assert sent[2] == sent[0]
        assert sent[3] == {"type": "http.response.body", "body": b""}
