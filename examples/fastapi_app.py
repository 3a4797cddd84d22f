"""A chat that shows every participant's latency, and why somebody has left.

    uvicorn examples.fastapi_app:app        or        fastapi run examples/fastapi_app.py

Open the page in two browsers and take the network of one away: the others are told, and so is its
own page. PING_INTERVAL=1 PING_TIMEOUT=1 in the environment shorten the wait. (One process only: the
participants are in its memory.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

import asgi_keepalive.browser
from asgi_keepalive import KeepaliveError, KeepaliveMiddleware, get_keepalive

BACKLOG = 100
"""How many events may wait for one participant."""

logger = logging.getLogger("chat")
participants: list[Participant] = []


class Participant:
    """Somebody in the chat, with an outbox so that nobody has to wait for anybody else."""

    def __init__(self, name: str, websocket: WebSocket) -> None:
        self.name = name
        self.keepalive = get_keepalive(websocket)
        self.close_code = 1006  # RFC 6455 7.1.5: until a Close frame says otherwise
        self._websocket = websocket
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(BACKLOG)

    def tell(self, event: dict[str, Any]) -> None:
        """Queue an event; whoever is a whole backlog behind misses the oldest."""
        if self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(event)

    async def take_part(self) -> None:
        """Listen and send until one of the two raises `WebSocketDisconnect`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._measure())
            while True:
                await self._websocket.send_json(await self._outbox.get())

    async def _listen(self) -> None:
        try:
            while True:
                broadcast(line=f"{self.name}: {await self._websocket.receive_text()}")
        except WebSocketDisconnect as gone:
            self.close_code = gone.code
            raise

    async def _measure(self) -> None:
        """Have a latency to show at once; the keepalive's first Ping is an interval away."""
        with contextlib.suppress(KeepaliveError):
            await self.keepalive.ping()


def broadcast(**event: Any) -> None:
    for participant in participants:
        participant.tell(event)


def roster() -> list[dict[str, Any]]:
    return [{"name": p.name, "latency": p.keepalive.latency} for p in participants]


async def tell_latencies() -> None:
    told = roster()
    while True:
        await asyncio.sleep(1)
        if roster() != told:
            told = roster()
            broadcast(roster=told)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    telling = asyncio.create_task(tell_latencies())
    yield
    telling.cancel()


app = FastAPI(lifespan=lifespan)
app.add_middleware(
    KeepaliveMiddleware,
    ping_interval=float(os.environ.get("PING_INTERVAL", 20)),
    ping_timeout=float(os.environ.get("PING_TIMEOUT", 20)),
    close_timeout=float(os.environ.get("CLOSE_TIMEOUT", 10)),
)
app.mount("/keepalive", asgi_keepalive.browser.files)

Name = Annotated[str, Query(min_length=1, max_length=40)]


@app.websocket("/ws")
async def chat(websocket: WebSocket, name: Name) -> None:
    await websocket.accept()
    participant = Participant(name, websocket)
    participants.append(participant)
    broadcast(line=f"* {name} joined", roster=roster())
    try:
        await participant.take_part()
    except* WebSocketDisconnect:
        why = departure(websocket, participant.close_code)
        logger.info("%s %s", name, why)
        broadcast(line=f"* {name} {why}")
    finally:
        participants.remove(participant)
        broadcast(roster=roster())


def departure(websocket: WebSocket, code: int) -> str:
    """Say why somebody has gone. The code alone does not: to Starlette a failed send is 1006."""
    return "timed out (1011)" if get_keepalive(websocket).timed_out else f"left ({code})"


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>Chat</title>
<style>
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto }
  table { width: 100% } th { text-align: left } th + th, td + td { text-align: right }
  #log { min-height: 8rem; border-block: 1px solid #ccc; margin: 1rem 0 } p { margin: 0 }
  form { display: flex; gap: .5rem } input { flex: 1; font: inherit }
</style>
<p id="health">connecting…</p>
<table><thead><tr><th>Participant<th>Latency<tbody></table><div id="log"></div>
<form><input autofocus autocomplete="off" aria-label="Message"><button disabled>Send</button></form>
<script type="module">
  import { KeepaliveWebSocket } from "./keepalive/keepalive.js";

  const parts = ["#health", "tbody", "#log", "form"];
  const [health, table, log, form] = parts.map((part) => document.querySelector(part));
  const name = new URLSearchParams(location.search).get("name") || prompt("Your name") || "guest";
  const url = new URL("ws?" + new URLSearchParams({ name }), location.href.replace("http", "ws"));
  let socket, failures = 0;

  const show = (line) => log.appendChild(document.createElement("p")).textContent = line;
  const ms = (latency) => (latency === null ? "…" : `${(latency * 1000).toFixed(1)} ms`);
  const tell = (connected, line) => {
    health.textContent = line;
    health.style.color = connected ? "green" : "firebrick";
    form[1].disabled = !connected;
  };

  function connect() {
    let openedAt = Infinity;
    socket = new KeepaliveWebSocket(url);
    socket.onopen = () => {
      openedAt = performance.now();
      tell(true, "connected");
    };
    socket.onlatency = () => tell(true, `latency ${ms(socket.latency)}`);
    socket.onlate = () => tell(true, "no sign of the server…");
    socket.onmessage = ({ data }) => {
      const { line, roster } = JSON.parse(data);
      if (line) show(line);
      if (roster) table.replaceChildren();
      for (const { name, latency } of roster ?? []) {
        const row = table.insertRow();
        row.insertCell().textContent = name;
        row.insertCell().textContent = ms(latency);
      }
    };
    socket.onclose = ({ code, reason }) => {
      tell(false, `disconnected (${code} ${reason}), connecting again…`);
      /* A server that ends it as planned says when to come back. Else there are full jitter and
         back-off: not all at once, ever more seldom, until one holds again. */
      if (performance.now() - openedAt > 30_000) failures = 0;
      const seconds = socket.reconnectAfter ?? Math.random() * Math.min(30, 2 ** failures++);
      setTimeout(connect, seconds * 1000);
    };
  }
  connect();
  form.onsubmit = (event) => {
    event.preventDefault();
    socket.send(form[0].value);
    form.reset();
  };
</script>
"""
