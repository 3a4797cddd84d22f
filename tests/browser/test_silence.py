"""What a page sees of a server that falls silent, in real browsers."""

from __future__ import annotations

import signal

from ..support.process import Process
from .page import Page
from .proxy import Proxy


class TestSilence:
    def test_stopped_server(self, page: Page, server: Process) -> None:
        page.connect()
        page.connect("plain", cls="WebSocket")
        page.beat()
        since = page.now()
        server.popen.send_signal(signal.SIGSTOP)
        try:
            page.times_out(since)
            assert page.look("plain", "closes") == []
            assert page.look("plain", "socket.readyState") == 1
        finally:
            server.popen.send_signal(signal.SIGCONT)

    def test_network_that_swallows_everything(self, page: Page, server: Process) -> None:
        with Proxy(server.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/ws"
            page.connect(url=url)
            page.connect("plain", url=url, cls="WebSocket")
            page.beat()
            since = page.now()
            proxy.swallow()
            page.times_out(since)
            assert page.look("plain", "closes") == []
            assert page.look("plain", "socket.readyState") == 1

    def test_page_that_closes_meanwhile(self, page: Page, server: Process) -> None:
        page.connect()
        page.beat()
        since = page.now()
        server.popen.send_signal(signal.SIGSTOP)
        try:
            page.run("mine.socket.close()")
            page.times_out(since)
        finally:
            server.popen.send_signal(signal.SIGCONT)
