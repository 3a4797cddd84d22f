"""The page's half in real browsers, while its server is well."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ..support.process import Process, started, uvicorn
from ..support.server import wait_until
from .app import INTERVAL, TIMEOUT
from .engines import Browser
from .page import Page


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """A server that stays well, for all tests here."""
    with started(*uvicorn(app="tests.browser.app:app")) as process:
        yield process


class TestHeard:
    def test_heartbeats(self, page: Page) -> None:
        page.connect(url="/ws?a=1")
        page.beat()
        assert 0 < page.look("mine", "socket.latency") < 1
        page.run("mine.socket.send('hello')")
        wait_until(lambda: page.look("mine", "heard.length") == 2)
        assert page.look("mine", "heard") == ["a=1", "hello"]
        assert page.look("mine", "socket.url") == f"ws://127.0.0.1:{page.port}/ws?a=1"

    def test_none_by_a_plain_one(self, page: Page) -> None:
        page.connect(cls="WebSocket")
        time.sleep(3 * INTERVAL)
        assert page.look("mine", "heard") == [""]

    def test_an_idle_connection_lives(self, page: Page) -> None:
        page.connect()
        time.sleep(2 * (INTERVAL + TIMEOUT))
        assert page.look("mine", "closes") == []
        assert page.look("mine", "socket.readyState") == 1


class TestDropIn:
    def test_what_every_websocket_has(self, page: Page) -> None:
        page.connect()
        assert page.look("mine", "socket instanceof WebSocket")
        missing, unequal = page.run(
            """
            const names = Object.keys(WebSocket.prototype);
            return [
              names.filter((name) => !(name in mine.socket)),
              ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].filter(
                (name) => KeepaliveWebSocket[name] !== WebSocket[name]
                  || mine.socket[name] !== WebSocket[name]),
            ];
            """
        )
        assert (missing, unequal) == ([], [])

    def test_handlers(self, page: Page) -> None:
        page.connect()
        page.beat()
        page.run(
            """
            window.handled = [];
            for (const type of ["message", "close"]) {
              mine.socket[`on${type}`] = (event) => {
                handled.push(type, event.data ?? event.code, event.isTrusted);
              };
            }
            mine.socket.send("hello");
            """
        )
        time.sleep(2 * INTERVAL)  # and of heartbeats they see nothing
        page.run("mine.socket.send('close')")
        wait_until(lambda: page.look("mine", "closes"))
        assert page.run("return handled") == ["message", "hello", True, "close", 4001, True]

    def test_subprotocol(self, page: Page) -> None:
        page.connect(protocols=["chat", "other"])
        assert page.look("mine", "socket.protocol") == "chat"

    @pytest.mark.parametrize("kind", ["arraybuffer", "blob"])
    def test_binary(self, page: Page, kind: str) -> None:
        page.connect()
        page.run("mine.socket.binaryType = arguments[0]", kind)
        page.run("mine.socket.send(new Uint8Array([1, 2, 3]))")
        wait_until(lambda: page.look("mine", "heard.length") == 2)
        size, name = page.run(
            """
            const [, data] = mine.heard;
            return [data.size ?? data.byteLength, data.constructor.name];
            """
        )
        assert (size, name.lower()) == (3, kind)

    def test_close_of_the_server(self, page: Page) -> None:
        page.connect()
        page.run("mine.socket.send('close')")
        wait_until(lambda: page.look("mine", "closes"))
        assert page.look("mine", "closes") == [{"code": 4001, "reason": "bye", "wasClean": True}]

    def test_close_of_the_page(self, page: Page) -> None:
        page.connect()
        page.run("mine.socket.close(4002, 'enough')")
        wait_until(lambda: page.look("mine", "closes"))
        assert page.look("mine", "closes")[0]["code"] in (1005, 4002)
        assert page.look("mine", "closes")[0]["wasClean"] is True

    @pytest.mark.parametrize(
        "given", [[], [""], ["http://["], ["ws://127.0.0.1:1/#fragment"], ["ftp://host/"]]
    )
    def test_what_it_refuses(self, page: Page, given: list[str]) -> None:
        mine, theirs = page.run(
            """
            const [given] = arguments;
            return [KeepaliveWebSocket, WebSocket].map((Class) => {
              try {
                const socket = new Class(...given);
                socket.close();
                return socket.url;
              } catch (error) {
                return error.name;
              }
            });
            """,
            given,
        )
        assert mine == theirs

    def test_server_without_the_middleware(self, browser: Browser) -> None:
        with started(*uvicorn(app="tests.browser.app:plain")) as process:
            page = Page(browser, process.port)
            page.connect(url="/ws?a=1")
            [greeting] = page.look("mine", "heard")
            assert greeting.startswith("a=1&asgi-keepalive=")
            time.sleep(INTERVAL + TIMEOUT + 0.5)
            assert page.look("mine", "closes") == []
            assert page.look("mine", "socket.latency") is None
            page.run("mine.socket.send('hello')")
            wait_until(lambda: page.look("mine", "heard.length") == 2)


@pytest.mark.parametrize("origin", ["", "ws://127.0.0.1:{port}", "http://127.0.0.1:{port}"])
def test_worker_made_from_a_blob(page: Page, origin: str) -> None:
    url = f"{origin}/ws?a=1".format(port=page.port)
    page.run(
        """
        const [url] = arguments;
        const script = `
          import { KeepaliveWebSocket } from "${location.origin}/keepalive/keepalive.js";
          const socket = new KeepaliveWebSocket("${url}");
          socket.onmessage = ({ data }) => postMessage("message " + data + " of " + socket.url);
          socket.onlatency = () => postMessage("heartbeat");
        `;
        const type = "text/javascript";
        const worker = new Worker(URL.createObjectURL(new Blob([script], { type })), {
          type: "module",
        });
        window.heard = [];
        worker.onmessage = ({ data }) => heard.push(data);
        """,
        url,
    )
    expected = {f"message a=1 of ws://127.0.0.1:{page.port}/ws?a=1", "heartbeat"}
    wait_until(lambda: set(page.run("return heard")) == expected)


def test_frame_made_from_a_blob(page: Page) -> None:
    page.run(
        """
        const script = `
          import { KeepaliveWebSocket } from "${location.origin}/keepalive/keepalive.js";
          const socket = new KeepaliveWebSocket("/ws?a=1");
          socket.onlatency = () => parent.postMessage(socket.url, "*");
        `;
        const html = `<script type="module">${script}<\\/script>`;
        window.heard = [];
        window.addEventListener("message", ({ data }) => heard.push(data));
        const frame = document.createElement("iframe");
        frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
        document.body.append(frame);
        """
    )
    wait_until(lambda: page.run("return heard[0]") == f"ws://127.0.0.1:{page.port}/ws?a=1")


def test_looks_when_the_page_wakes(page: Page) -> None:
    page.connect()
    page.beat()
    looked = page.run(
        """
        const { setTimeout } = window;
        let looks = 0;
        window.setTimeout = (...args) => (looks++, setTimeout(...args));
        const types = [
          [window, "offline"], [window, "online"], [window, "pageshow"],
          [document, "resume"], [document, "visibilitychange"],
        ];
        return types.map(([target, type]) => {
          looks = 0;
          target.dispatchEvent(new Event(type));
          return looks;
        });
        """
    )
    assert looked == [1] * 5
