"""Whether a peer of hypercorn's over HTTP/2 is dead, second by second."""

from __future__ import annotations

from unittest import mock

import pytest

from asgi_keepalive.endpoint.kernel import Transferred
from asgi_keepalive.servers.hypercorn import life
from asgi_keepalive.servers.hypercorn.life import TIME_TO_ANSWER, Life


@pytest.fixture
def loop() -> mock.Mock:
    return mock.Mock(time=mock.Mock(return_value=100.0))


@pytest.fixture
def ping() -> mock.Mock:
    return mock.Mock()


@pytest.fixture
def transport() -> mock.Mock:
    return mock.Mock(is_closing=mock.Mock(return_value=False))


@pytest.fixture
def one(loop: mock.Mock, transport: mock.Mock, ping: mock.Mock) -> Life:
    return Life(loop, transport, None, ping)


class Kernel:
    """Says what the test says."""

    acknowledged = 100

    def transferred(self, sock: None) -> Transferred:
        return Transferred(self.acknowledged, 7)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(life, "transferred", kernel.transferred)
    return kernel


def test_one_ping_at_a_time(one: Life, ping: mock.Mock) -> None:
    one.ask()
    one.ask()
    assert ping.call_count == 1
    one.received = 17
    one.ask()
    assert ping.call_count == 2


@pytest.mark.parametrize("answers", [False, True])
def test_peer_has_time_to_answer(
    one: Life, loop: mock.Mock, transport: mock.Mock, answers: bool
) -> None:
    asked = one.ask()
    loop.call_later.reset_mock()
    one.abort_if_dead(asked)
    [(delay, *call)] = [timer.args for timer in loop.call_later.mock_calls]
    assert delay == TIME_TO_ANSWER
    assert not transport.abort.called
    loop.time.return_value += delay
    if answers:
        one.received = 17
    call[0](*call[1:])
    assert transport.abort.called is not answers


def test_peer_that_acknowledges_has_more_time(
    one: Life, loop: mock.Mock, transport: mock.Mock, kernel: Kernel
) -> None:
    asked = one.ask()
    for _ in range(3):
        loop.time.return_value += TIME_TO_ANSWER
        kernel.acknowledged += 1
        one.abort_if_dead(asked)
        assert loop.call_later.call_args.args[0] == TIME_TO_ANSWER
    loop.time.return_value += TIME_TO_ANSWER
    one.abort_if_dead(asked)
    transport.abort.assert_called_once_with()


def test_frozen_peer_of_which_the_kernel_acknowledges_the_ping_gets_no_more(
    one: Life, loop: mock.Mock, transport: mock.Mock, kernel: Kernel
) -> None:
    asked = one.ask()
    kernel.acknowledged += 17
    [(delay, look)] = [timer.args for timer in loop.call_later.mock_calls]
    loop.time.return_value += delay
    look()
    loop.time.return_value += TIME_TO_ANSWER
    one.abort_if_dead(asked)
    transport.abort.assert_called_once_with()


@pytest.mark.parametrize("why", ["answers", "closes"])
def test_nobody_looks_for_ever(one: Life, loop: mock.Mock, transport: mock.Mock, why: str) -> None:
    one.ask()
    look = loop.call_later.call_args.args[1]
    look()
    assert loop.call_later.call_count == 2
    if why == "answers":
        one.received = 17
    else:
        transport.is_closing.return_value = True
    look()
    assert loop.call_later.call_count == 2
