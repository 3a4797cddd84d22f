"""Hosts that fall off the network, and networks that lose and delay what crosses them."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout, get_keepalive

from ..conftest import SERVERS, Reports, Serve
from ..support.applications import accept, echo
from ..support.client import CLOSE, TEXT, Client, close_code
from ..support.server import Server, freed, kernel_sockets, logged
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, INTERVAL, LATE, LOGGED, TIMEOUT
from .network import Host, Network
from .test_frozen import slowest_answer

pytestmark = pytest.mark.parametrize("ws", SERVERS)


Cut = Callable[[Network, Host], None]
CUTS: dict[str, Cut] = {
    "client unplugged": lambda network, client: client.link_down(),
    "server unplugged": lambda network, client: network.server.link_down(),
    "client not reached": lambda network, client: network.drop("--destination", client.address),
    "server not reached": lambda network, client: network.drop("--source", client.address),
}


@pytest.fixture(params=CUTS)
def cut(request: pytest.FixtureRequest) -> Cut:
    """A way to part a client's host from the server's, without FIN or RST."""
    return CUTS[request.param]


class Site:
    """A server on one host, and what its clients on others need to reach it."""

    def __init__(self, network: Network, serve: Serve) -> None:
        self.network = network
        self._serve = serve
        self._tls: ssl.SSLContext | None = None

    def serve(self, app: Any, **config: Any) -> Server:
        with self.network.server as host:
            self.server = self._serve(app, address=host.address, **config)
        return self.server

    def connect(self, host: Host, **options: Any) -> Client:
        with host:
            return Client(self.server.port, address=self.network.server.address, **options).open()

    def freed(self, client: Client, within: float) -> None:
        with self.network.server:
            freed(self.server, client, within)


@pytest.fixture
def site(network: Network, serve: Serve) -> Site:
    return Site(network, serve)


@pytest.fixture(params=["ws", "wss"])
def security(
    request: pytest.FixtureRequest, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a server and its clients need for TLS, or not."""
    return (tls_config, {"tls": tls}) if request.param == "wss" else ({}, {})


async def stream(send: Any) -> None:
    """Send until the connection is failed."""
    with suppress(KeepaliveTimeout):
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            await asyncio.sleep(0.002)


class TestCutOff:
    def test_idle(
        self, site: Site, reports: Reports, network: Network, cut: Cut, security: Any
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive(), time.monotonic(), get_keepalive(scope).verdict))

        server_tls, client_tls = security
        server = site.serve(app, **server_tls)
        host = network.client()
        with site.connect(host, **client_tls) as client:
            client.answer(3 * INTERVAL)
            began = time.monotonic()
            cut(network, host)
            event, at, verdict = reports.get()
            assert event == FAILED
            # What a machine without network cannot send does not leave it.
            reasons = {"silent", "frozen"} if cut is CUTS["server unplugged"] else {"silent"}
            assert verdict.reason in reasons
            assert verdict.quiet >= verdict.waited
            assert TIMEOUT - INTERVAL < at - began < INTERVAL + TIMEOUT + LATE
            assert at - logged(server, "Ping ")[-1].at > TIMEOUT - LOGGED  # type: ignore[attr-defined]
            site.freed(client, CLOSE_TIMEOUT)

    def test_while_data_streams(
        self, site: Site, reports: Reports, network: Network, cut: Cut, security: Any
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await stream(send)
            reports.put((await receive(), time.monotonic(), get_keepalive(scope).verdict))

        server_tls, client_tls = security
        site.serve(app, **server_tls)
        host = network.client()
        with site.connect(host, **client_tls) as client:
            assert len(client.answer(3 * INTERVAL)) > 10
            began = time.monotonic()
            cut(network, host)
            event, at, verdict = reports.get()
            assert event == FAILED
            assert verdict.reason == "frozen"
            assert TIMEOUT - INTERVAL < at - began < INTERVAL + TIMEOUT + LATE
            site.freed(client, CLOSE_TIMEOUT)

    def test_half_of_200_clients(self, site: Site, reports: Reports, network: Network) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            event = await receive()
            reports.put((tuple(scope["client"]), event.get("code"), time.monotonic()))

        site.serve(app, ping_interval=0.5, ping_timeout=1)
        hosts = {True: network.client(), False: network.client()}
        with ExitStack() as stack, ThreadPoolExecutor(200) as pool:
            clients = {
                lives: [stack.enter_context(site.connect(host)) for _ in range(100)]
                for lives, host in hosts.items()
            }
            for client in clients[True] + clients[False]:
                pool.submit(client.answer, 5)
            began = time.monotonic()
            hosts[False].link_down()
            reported = [reports.get() for _ in range(100)]
            assert {code for _, code, _ in reported} == {1011}
            assert {client for client, _, _ in reported} == {
                (hosts[False].address, client.port) for client in clients[False]
            }
            assert max(at for _, _, at in reported) - began < 0.5 + 1 + LATE
            time.sleep(2)
            assert reports.empty()


@pytest.mark.parametrize("streams", [False, True], ids=["idle", "streaming"])
def test_cut_that_is_mended_in_time(
    site: Site, reports: Reports, network: Network, streams: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(get_keepalive(scope))
        await (stream(send) if streams else receive())

    server = site.serve(app, ping_timeout=5)
    host = network.client()
    with site.connect(host) as client:
        keepalive = reports.get()
        client.answer(2 * INTERVAL)
        host.link_down()
        time.sleep(INTERVAL + 0.5)
        host.link_up()
        client.answer(2)
        assert slowest_answer(server) > 0.4
        assert not keepalive.timed_out
        assert len(client.answer(1)) > 10 or not streams


class TestReborn:
    """The client's host was switched off and is up again: it answers what it gets with RST."""

    def test_idle(self, site: Site, reports: Reports, network: Network) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive(), get_keepalive(scope).timed_out))

        site.serve(app, ping_timeout=10, close_timeout=10)
        host = network.client()
        with site.connect(host) as client:
            client.answer(2 * INTERVAL)
            network.reborn(host)
            event, timed_out = reports.get(timeout=INTERVAL + 5)
            assert event["code"] in (1005, 1006)  # as the protocol has it
            assert not timed_out
            site.freed(client, 0)

    def test_while_data_streams(self, site: Site, reports: Reports, network: Network) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.sleep(0.002)
            except OSError as error:
                reports.put(error)

        site.serve(app, ping_timeout=10, close_timeout=10)
        host = network.client()
        with site.connect(host) as client:
            client.answer(2 * INTERVAL)
            network.reborn(host)
            error = reports.get(timeout=INTERVAL + 5)
            assert not isinstance(error, KeepaliveTimeout)
            site.freed(client, 0)


class TestBadNetwork:
    def test_one_packet_in_five_is_lost(self, site: Site, network: Network) -> None:
        site.serve(echo, ping_timeout=5)
        host = network.client()
        with site.connect(host) as client:
            for way in "--source", "--destination":
                every_fifth = [
                    "--match",
                    "statistic",
                    "--mode",
                    "nth",
                    "--every",
                    "5",
                    "--packet",
                    "0",
                ]
                network.drop(way, host.address, *every_fifth)
            for number in range(50):
                client.send(TEXT, b"%d" % number)
            assert [client.answer_until(TEXT) for _ in range(50)] == [
                b"%d" % number for number in range(50)
            ]
            assert client.answer(2) == []
            client.send(TEXT, b"still there")
            assert client.answer_until(TEXT) == b"still there"

    def test_delay(self, site: Site, reports: Reports, network: Network) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()
            keepalive = get_keepalive(scope)
            reports.put((keepalive.latency, await keepalive.ping(), keepalive.timed_out))

        site.serve(app, ping_timeout=3)
        with site.connect(network.client(delay=0.4)) as client:
            assert client.answer(3) == []
            client.send(TEXT, b"and?")
            client.answer(2)
            regular, manual, timed_out = reports.get()
            assert 0.8 <= regular < 0.8 + LATE
            assert 0.8 <= manual < 0.8 + LATE
            assert not timed_out

    def test_delay_beyond_the_timeout(self, site: Site, reports: Reports, network: Network) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        site.serve(app, close_timeout=5)
        with site.connect(network.client(delay=0.4)) as client:
            assert client.answer_until(CLOSE) == b"\x03\xf3keepalive ping timeout"
            assert reports.get() == FAILED
            client.close()
            site.freed(client, 1)

    def test_peer_that_is_merely_slow(self, site: Site, reports: Reports, network: Network) -> None:
        """Its Pong is late, for megabytes are before the Ping, but it reads them all."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await stream(send)
            reports.put("released")

        server = site.serve(app, close_timeout=10)
        with site.connect(network.client(delay=0.02), receive_buffer=65536) as client:
            assert reports.get() == "released"
            with network.server:
                assert kernel_sockets(server.port, client.port)[0][1] > 10_000
            opcode, payload = client.until_end()[-1]
            assert (opcode, close_code(payload)) == (CLOSE, (1011, "keepalive ping timeout"))
            client.close()
            site.freed(client, 1)
