"""What is said of a server of which little can be seen."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asgi_keepalive.conformance import application, endings, peer
from asgi_keepalive.conformance.checks import Check
from asgi_keepalive.conformance.level1 import errors_of
from asgi_keepalive.conformance.level6 import within
from asgi_keepalive.conformance.messages import decoded, encoded
from asgi_keepalive.conformance.outcomes import FAIL, NA, OK, Failed, NotSeen, Outcome, Trace
from asgi_keepalive.conformance.remote import Control, Exit, Remote
from asgi_keepalive.conformance.running import again
from asgi_keepalive.conformance.trial import Run, Trial

from ..levels.page_levels import Declaring
from ..levels.serving import PageServer
from .serving import checked, started


class Partial(Declaring):
    """It has no level 3, tells nothing of the traffic, and never lets a `send` wait."""

    @property
    def extension(self) -> dict[str, Any]:
        whole = super().extension
        return {name: whole[name] for name in whole if name not in {"read_ahead", "buffered"}}

    def pause_writing(self) -> None: ...

    def traffic(self) -> dict[str, float | None]:
        return dict.fromkeys(super().traffic())


def test_what_cannot_be_seen_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "MOST", 2**20)  # so that less is buffered
    with started(PageServer(application.app, 5, Partial)) as server:
        result = checked(server)
    assert {box for box, one in result.boxes.items() if one.status == FAIL} == set()
    assert result.boxes["1.7"] == Outcome(
        NA, "no send was blocked by a peer that left 1048576 bytes unread"
    )
    assert result.boxes["3.1"].seen == "level 3 is not offered"
    assert result.boxes["5.1"].seen == "the server cannot tell unsent"
    assert result.boxes["5.6"].seen == "buffered, which is optional, is not offered"
    assert result.level == 2


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


def test_server_that_does_not_call_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = Remote.wait

    def wait_in_vain(remote: Remote, condition: Any, otherwise: str, timeout: float = 0.1) -> None:
        wait(remote, condition, otherwise, timeout)

    monkeypatch.setattr(Remote, "wait", wait_in_vain)
    with started(PageServer(plain, 5)) as server:
        result = checked(server)
    assert (result.offered, result.level) == ((), 0)
    assert result.boxes["1.1"].seen == "the application was not called"


def test_failure_beside_others_is_tried_again_alone() -> None:
    outcomes: Iterator[str | Failed] = iter(["well", Failed("again")])

    def function(trial: Any) -> str:
        found = next(outcomes)
        if isinstance(found, Failed):
            raise found
        return found

    control = Control()
    run = Run(Any, control)  # type: ignore[arg-type]
    first = Outcome(FAIL, "too late")
    seen = [again(Check("1.1", function, is_last=False), run, first) for _ in range(2)]
    control.stop()
    assert seen == [Outcome(OK, "well (but at first: too late)"), Outcome(FAIL, "again")]


@pytest.mark.parametrize("app", [application.app, application.adapted])
def test_application_serves_what_else_a_server_asks_for(app: Any) -> None:
    def sent(kind: str) -> list[Any]:
        events: list[Any] = []

        async def receive() -> Mapping[str, Any]:
            return {}

        async def send(event: Any) -> None:
            events.append(event["type"])

        asyncio.run(app({"type": kind}, receive, send))
        return events

    assert sent("http") == ["http.response.start", "http.response.body"]
    assert sent("lifespan") == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize(("has_left", "outcome"), [(True, NotSeen), (False, Failed)])
def test_server_that_exits_too_soon_is_not_asked(
    has_left: bool, outcome: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any) -> None:
        raise Failed("a call in the application did not end")

    monkeypatch.setattr(endings, "refused", refused)
    link = SimpleNamespace(remote=SimpleNamespace(has_left=has_left))
    begun = endings.ping_is_refused_after_the_shutdown(
        cast(Trial, SimpleNamespace(taken=lambda: link))
    )
    next(begun)
    with pytest.raises(outcome):
        next(begun)


@pytest.mark.parametrize(("grace", "outcome"), [(20.0, Failed), (0.5, NotSeen)])
def test_what_fails_when_the_grace_has_passed_says_nothing(
    grace: float, outcome: type[Exception]
) -> None:
    exit = Exit(number=0, grace=grace, at=time.monotonic() - 1, here=True)
    with pytest.raises(outcome), within(exit):
        raise Failed("the peer got Close 1012 instead of Ping")


def test_errors_of_a_log() -> None:
    log = f"""INFO up
ERROR Exception in ASGI application
Traceback (most recent call last):
  File "x.py", line 1, in app
ValueError: {application.DELIBERATE}
ERROR Exception inside application: {application.DELIBERATE}
[ERROR] out of memory
INFO no error
Exception in callback StreamReaderProtocol
handle: <Handle>
Traceback (most recent call last):
  File "x.py", line 1, in app
asyncio.exceptions.CancelledError
"""
    assert errors_of(log) == ["[ERROR] out of memory"]


def test_call_that_is_cancelled_is_a_failure() -> None:
    remote = Remote(Trace())
    near, far = socket.socketpair()
    with near, far:
        remote.join(near, [], "asyncio")
        task = remote.begin(("receive",))
        remote.hear("done", task.number, [])
        with pytest.raises(Failed, match="a call in the application was cancelled"):
            task.result()
        other = remote.begin(("receive",))
        remote.hear("done", other.number, [{"raised": ["ValueError"], "text": "ValueError()"}])
        with pytest.raises(Failed, match="was raised"):
            other.result()


def test_messages_carry_bytes() -> None:
    sent = {"payload": b"\x00\xff", "text": "x"}
    assert decoded(encoded(sent)) == sent


def test_fin_without_close_notify_is_told_from_one_with_it(
    certificate: tuple[ssl.SSLContext, Path],
) -> None:
    trusting, path = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)

    def serve() -> None:
        with listening.accept()[0] as raw, context.wrap_socket(raw, server_side=True) as tls:
            tls.recv(4096)
            socket.socket.shutdown(tls, socket.SHUT_WR)
            done.wait(10)

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        one = peer.Peer(listening.getsockname()[1], "/", Trace(), trusting)
        assert one.until_end() == ([], peer.ENDS_TLS)
        done.set()
        thread.join()
        one.close()


def test_another_frame_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = peer.Peer(listening.getsockname()[1], "/", Trace(), None)
        with listening.accept()[0] as far:
            far.sendall(b"\x81\x01x")
            with pytest.raises(Failed, match="the peer got Text 78 instead of Close"):
                one.expect(peer.CLOSE)
        one.close()


def test_handshake_that_is_refused_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = peer.Peer(listening.getsockname()[1], "/", Trace(), None)
        with listening.accept()[0] as far:
            far.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(Failed, match="400 Bad Request"):
                one.open()
        one.close()
