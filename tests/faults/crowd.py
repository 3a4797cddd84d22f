"""Many clients at once, that come, go, freeze, flood and vanish at random.

What a client does is drawn from a seed and its own number: whatever a test has to say against
client 4711, with the same seed it will do the same things again. Only what the others do
meanwhile differs.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from asgi_keepalive.endpoint.kernel import reset_on_close

from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, cut_off, frame, parse, upgrade
from ..support.server import all_kernel_sockets
from .soak_app import (
    CLOSE_TIMEOUT,
    GIVES_UP_AFTER,
    PING_INTERVAL,
    PING_TIMEOUT,
    Stalls,
    note_stalls,
)

PATIENCE = 30.0
"""How long a client waits for anything, in seconds, before it complains."""

LOOK = 0.5
"""Seconds from one look at what the kernel holds to the next."""

TCP_CLOSE = 7
"""The state, as the kernel numbers it, of a socket that has been reset."""

NO_CODE: frozenset[int | None] = frozenset({1005, 1006})
"""What an application may be told of an end without a Close frame."""


@dataclass(slots=True)
class Life:
    """What is to be known about a client afterwards. Times are monotonic seconds.

    Attributes:
        doing: What it did last.
        codes: With which codes its end may be told.
        alive_at: When it began to connect, or sent its last Pong.
        silent_at: Since when it has neither read nor sent, with its socket still open.
        dead: Whether that was without a goodbye.
        gone_within: How long from then the server may hold anything of it, in seconds.
        gone_at: When it was seen to hold nothing.
        complaint: What it has to say against the server.
        complained_at: When it said that.
    """

    number: int
    doing: str = "connect"
    codes: frozenset[int | None] = frozenset()
    alive_at: float = 0.0
    silent_at: float = inf
    dead: bool = False
    gone_within: float = inf
    gone_at: float = inf
    complaint: str = ""
    complained_at: float = inf

    @property
    def silent(self) -> bool:
        return self.silent_at < inf


class Client(asyncio.Protocol):
    """A client; each of its methods is something that clients do.

    Raises:
        AssertionError: The server did something else than it should.
        EOFError: It closed the connection.
        TimeoutError: It did nothing.
    """

    _transport: asyncio.Transport

    def __init__(self, life: Life, chance: random.Random) -> None:
        self.life = life
        self.chance = chance
        self.port = 0
        self.buried = asyncio.Event()
        self._open = asyncio.Event()
        self._lost = asyncio.Event()
        self._buffer = b""
        self._frames: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._chunks = 0
        self._said = 0
        self._said_goodbye = False

    async def connect(self, port: int) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        if self.chance.random() < 0.9:
            # A network's segments rather than loopback's: then the kernel holds 160 KB for a
            # client that reads nothing, not 4 MB.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
        loop = asyncio.get_running_loop()
        self.life.alive_at = time.monotonic()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        self.port = sock.getsockname()[1]
        self._transport, _ = await loop.create_connection(lambda: self, sock=sock)
        self._transport.write(upgrade(f"/?{self.life.number}"))
        await self._open.wait()

    def is_reset(self) -> bool:
        """Whether the server sent RST: its side is gone then, and the port may be another's."""
        sock = self._transport.get_extra_info("socket")
        state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state == TCP_CLOSE

    def reset(self) -> None:
        """Let go of the socket, with RST."""
        reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open.is_set():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head, head
            self._buffer = rest
            self._open.set()
        while found := parse(self._buffer):
            opcode, payload, self._buffer = found
            if opcode == PING:
                self._answer(payload)
            elif opcode == BINARY:
                self._chunks += 1
            else:
                self._frames.put_nowait((opcode, payload))

    def connection_lost(self, exc: Exception | None) -> None:
        self._frames.put_nowait(None)
        self._lost.set()

    def _answer(self, ping: bytes) -> None:
        if not self._said_goodbye:
            self.life.alive_at = time.monotonic()
            self._send(PONG, ping)

    # What clients do as long as they live.

    async def chat(self) -> None:
        said = self._say()
        assert await self._next(TEXT) == said

    async def flood(self) -> None:
        """Send more than the server reads ahead; nothing may be lost or out of order."""
        said = []
        for _ in range(self.chance.randrange(50, 300)):
            said.append(self._say())
            self._send(self.chance.choice([PING, PONG]), b"flood")
        self._send(PING, b"over")
        last = b"flood"
        while said or last != b"over":
            opcode, payload = await self._next_of(TEXT, PONG)
            if opcode == TEXT:
                assert payload == said.pop(0)
            else:
                last = payload

    async def keep_busy(self) -> None:
        """Have messages unread, perhaps for longer than a Pong may take."""
        self._order(f"be-busy {self.chance.uniform(1, PING_INTERVAL + PING_TIMEOUT)}")
        said = [self._say() for _ in range(self.chance.randrange(1, 20))]
        for one in said:
            assert await self._next(TEXT) == one

    async def download(self) -> None:
        await self._begin_stream(16)
        assert await self._next(TEXT) == b"streamed"
        assert self._chunks == 16

    async def freeze_for_a_while(self) -> None:
        """Not for as long as a Pong may take: it has to survive."""
        await self._begin_stream(16)
        self._transport.pause_reading()
        await asyncio.sleep(self.chance.uniform(0.1, PING_TIMEOUT / 3))
        self._transport.resume_reading()
        assert await self._next(TEXT) == b"streamed"
        assert self._chunks == 16

    # How clients end.

    async def close(self) -> None:
        await self._perhaps_stream()
        code = self._send_close()
        self._transport.resume_reading()
        assert await self._next(CLOSE) == code
        await self._lost.wait()

    async def be_closed(self) -> None:
        code = self._order_close()
        assert await self._next(CLOSE) == code
        self._say_goodbye(code)
        await self._lost.wait()

    async def leave(self) -> None:
        """FIN without a Close frame; RST if something is unread."""
        await self._perhaps_stream()
        self.life.codes = NO_CODE
        self._transport.close()

    async def shut_down_its_side(self) -> None:
        await self._perhaps_stream()
        self._shut_down()
        self._transport.resume_reading()
        await self._lost.wait()

    async def break_off(self) -> None:
        await self._perhaps_stream()
        self.life.codes = NO_CODE
        self.reset()

    async def fall_silent(self) -> None:
        """Without a goodbye."""
        await self._perhaps_stream()
        self.life.codes = frozenset({1011})
        self.life.dead = True
        self._fall_silent(PING_INTERVAL + PING_TIMEOUT + CLOSE_TIMEOUT)

    async def close_and_fall_silent(self) -> None:
        await self._perhaps_stream()
        self._send_close()
        self._fall_silent(CLOSE_TIMEOUT)

    async def be_closed_but_fall_silent(self) -> None:
        self._order_close()
        self._fall_silent(CLOSE_TIMEOUT)

    async def shut_down_its_side_and_fall_silent(self) -> None:
        await self._perhaps_stream()
        self._shut_down()
        self._fall_silent(CLOSE_TIMEOUT)

    async def be_given_up(self) -> None:
        """The application returns, or closes, when it has long been unable to send."""
        await self._order_to_give_up()
        self._fall_silent(GIVES_UP_AFTER + CLOSE_TIMEOUT)

    async def break_off_when_given_up(self) -> None:
        await self._order_to_give_up()
        self._transport.pause_reading()
        await asyncio.sleep(GIVES_UP_AFTER + CLOSE_TIMEOUT / 2)
        self.reset()

    # Parts of these.

    def _send(self, opcode: int, payload: bytes = b"") -> None:
        self._transport.write(frame(opcode, payload))

    def _order(self, order: str) -> None:
        self._send(TEXT, order.encode())

    def _say(self) -> bytes:
        self._said += 1
        said = f"{self._said}{'.' * self.chance.randrange(300)}".encode()
        self._send(TEXT, said)
        return said

    async def _next_of(self, *opcodes: int) -> tuple[int, bytes]:
        found = await self._frames.get()
        if found is None:
            raise EOFError
        assert found[0] in opcodes, found
        return found

    async def _next(self, opcode: int) -> bytes:
        return (await self._next_of(opcode))[1]

    async def _begin_stream(self, chunks: int) -> None:
        self._chunks = 0
        self._order(f"stream {chunks}")
        assert await self._next(TEXT) == b"streaming"

    async def _perhaps_stream(self) -> None:
        if self.chance.random() < 0.5:
            self.life.doing += ", streamed to"
            await self._begin_stream(1_000_000)
            self._transport.pause_reading()
            await asyncio.sleep(self.chance.uniform(0, 0.5))  # send is perhaps blocked by then

    def _choose_code(self) -> int:
        code = self.chance.choice([1000, 1001, 3000, 4999])
        self.life.codes = frozenset({code})
        return code

    def _send_close(self) -> bytes:
        code = self._choose_code().to_bytes(2, "big")
        self._say_goodbye(code)
        return code

    def _say_goodbye(self, code: bytes) -> None:
        self._said_goodbye = True
        self._send(CLOSE, code)

    def _shut_down(self) -> None:
        self._said_goodbye = True
        self.life.codes = NO_CODE
        self._transport.write_eof()

    def _order_close(self) -> bytes:
        code = self._choose_code()
        # uvicorn's legacy protocol tells its application 1005 after its own close.
        self.life.codes |= NO_CODE
        self._order(f"close {code}")
        return code.to_bytes(2, "big")

    async def _order_to_give_up(self) -> None:
        self._order(f"give-up {self.chance.choice(['return', 'close'])}")
        assert await self._next(TEXT) == b"streaming"
        self.life.codes = NO_CODE | {None, 1000}

    def _fall_silent(self, gone_within: float) -> None:
        """Freeze, reading nothing more, or vanish, with nothing arriving; and send nothing."""
        self._transport.pause_reading()
        if self.chance.random() < 0.5:
            self.life.doing += ", vanishing"
            cut_off(self._transport.get_extra_info("socket"))
        self.life.silent_at = time.monotonic()
        self.life.gone_within = gone_within


Doing = Callable[[Client], Awaitable[None]]

LIVING: dict[Doing, int] = {
    Client.chat: 100,
    Client.flood: 1,
    Client.keep_busy: 2,
    Client.download: 1,
    Client.freeze_for_a_while: 2,
}
"""What clients do as long as they live, and how often."""

ENDING: dict[Doing, int] = {
    Client.close: 4,
    Client.be_closed: 2,
    Client.leave: 2,
    Client.shut_down_its_side: 1,
    Client.break_off: 2,
    Client.fall_silent: 6,
    Client.close_and_fall_silent: 1,
    Client.be_closed_but_fall_silent: 1,
    Client.shut_down_its_side_and_fall_silent: 1,
    Client.be_given_up: 1,
    Client.break_off_when_given_up: 1,
}
"""How they end, and how often."""


@dataclass
class Crowd:
    """Keeps a number of clients connected; when one ends, another follows.

    Attributes:
        port: Of the server, on 127.0.0.1.
        size: How many clients there are at a time.
        seed: What they do is drawn from it.
        lives: All that came.
        stalls: Those of the crowd's own event loop.
    """

    port: int
    size: int
    seed: str
    lives: list[Life] = field(default_factory=list)
    stalls: Stalls = field(default_factory=list)
    _silent: list[Client] = field(default_factory=list)

    async def live(self, seconds: float) -> None:
        """Live for so long, and return when the last one has ended."""
        began = time.monotonic()
        helpers = [asyncio.create_task(one) for one in (self._bury(), note_stalls(self.stalls))]
        chance = random.Random(self.seed)
        rush = min(2.0, seconds / 4)  # in which they come, and in which they go
        await asyncio.gather(
            *(
                self._take_turns(began + chance.uniform(0, rush), began + seconds - delta)
                for delta in (chance.uniform(0, rush) for _ in range(self.size))
            )
        )
        for helper in helpers:
            helper.cancel()
            with suppress(asyncio.CancelledError):
                await helper

    async def _take_turns(self, since: float, until: float) -> None:
        await asyncio.sleep(since - time.monotonic())
        while time.monotonic() < until:
            life = Life(len(self.lives))
            self.lives.append(life)
            client = Client(life, random.Random(f"{self.seed} {life.number}"))
            try:
                await self._live(client, until)
            except (AssertionError, EOFError, OSError) as error:
                life.complaint = repr(error)
                life.complained_at = time.monotonic()
                await asyncio.sleep(1)  # the server may be gone

    async def _live(self, client: Client, until: float) -> None:
        chance = client.chance
        # Most lives are short, some are long.
        end = min(until, time.monotonic() + 2 * chance.paretovariate(1))
        async with asyncio.timeout(PATIENCE):
            await client.connect(self.port)
        try:
            while (left := end - time.monotonic()) > 0:
                await asyncio.sleep(min(left, chance.uniform(0.5, 4)))
                await self._do(client, LIVING)
            await self._do(client, ENDING)
        except BaseException:
            client.reset()
            raise
        if client.life.silent:
            self._silent.append(client)
            await client.buried.wait()

    async def _do(self, client: Client, doings: dict[Doing, int]) -> None:
        [doing] = client.chance.choices(list(doings), list(doings.values()))
        client.life.doing = doing.__name__
        async with asyncio.timeout(PATIENCE):
            await doing(client)

    async def _bury(self) -> None:
        """Let go of the silent ones' sockets, once the server holds nothing for them."""
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            held = held_for(self.port)
            for client in self._silent.copy():
                if client.port not in held or client.is_reset():
                    client.life.gone_at = now
                elif now < client.life.silent_at + client.life.gone_within + PATIENCE:
                    continue
                client.reset()
                client.buried.set()
                self._silent.remove(client)


def held_for(server_port: int) -> set[int]:
    """Return the ports of the clients for which a descriptor or unsent data is held.

    A FIN may remain, which the kernel repeats for a while without either; so may FIN_WAIT2.
    """
    return {
        held.client_port
        for held in all_kernel_sockets(server_port)
        if held.unsent > 1 or not held.orphaned
    }
