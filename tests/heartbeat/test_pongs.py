"""Which Pong counts for which Ping."""

from __future__ import annotations

import pytest

from asgi_keepalive.heartbeat import Overdue

from ..support.heartbeat import START, UP_TO_DATE, keepalive_ping, manual_ping, opened


class TestWhichPongCounts:
    """Rule 2."""

    def test_latency_is_the_round_trip_from_the_writing(self) -> None:
        heartbeat = opened()
        assert heartbeat.round_trips.latency is None
        ping = keepalive_ping(heartbeat)
        heartbeat.written(ping, START + 20.5)
        assert heartbeat.pong(b"ping", START + 20.75) == [ping]
        assert heartbeat.round_trips.latency == 0.25

    @pytest.mark.parametrize("wrong", [b"", b"pin", b"ping\0", b"\0\0\0\0"])
    def test_unknown_payload_changes_nothing(self, wrong: bytes) -> None:
        heartbeat = opened(ping_timeout=10)
        keepalive_ping(heartbeat)
        before = heartbeat.wake_at
        assert heartbeat.pong(wrong, START + 21) == []
        assert (heartbeat.round_trips.latency, heartbeat.wake_at) == (None, before)

    def test_a_pong_counts_once(self) -> None:
        heartbeat = opened()
        keepalive_ping(heartbeat)
        assert heartbeat.pong(b"ping", START + 21) != []
        assert heartbeat.pong(b"ping", START + 22) == []
        assert heartbeat.round_trips.latency == 1

    def test_a_later_pong_acknowledges_the_earlier_pings(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        first = manual_ping(heartbeat, b"1", START + 19)
        second = keepalive_ping(heartbeat, b"2")
        third = manual_ping(heartbeat, b"3", START + 21)
        fourth = manual_ping(heartbeat, b"4", START + 22)
        assert heartbeat.pong(b"3", START + 23) == [first, second, third]
        assert heartbeat.round_trips.latency == 2
        # The keepalive's own was among them, so that the next one is due.
        assert heartbeat.wake_at == fourth.deadline == START + 32
        assert heartbeat.pong(b"2", START + 24) == []
        assert heartbeat.pong(b"4", START + 24) == [fourth]
        assert heartbeat.wake_at == START + 40

    def test_an_earlier_pong_leaves_the_later_ping_waiting(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual_ping(heartbeat, b"manual", START + 19)
        ping = keepalive_ping(heartbeat)
        heartbeat.pong(b"manual", START + 21)
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == [Overdue(ping)]

    def test_unanswered_pings_are_remembered_up_to_a_bound(self) -> None:
        heartbeat = opened(ping_interval=1, ping_timeout=None)
        manual = manual_ping(heartbeat, b"manual", START)
        pings = [keepalive_ping(heartbeat, bytes([number])) for number in range(100)]
        assert heartbeat.pong(bytes([83]), START + 200) == []
        # The application waits for the manual one: that is not forgotten.
        assert heartbeat.pong(bytes([99]), START + 200) == [manual, *pings[-16:]]

    def test_a_clock_that_runs_backwards_gives_no_negative_latency(self) -> None:
        """A server's clock may be coarser than ours: uvloop's counts in whole milliseconds."""
        heartbeat = opened()
        keepalive_ping(heartbeat)
        heartbeat.pong(b"ping", START + 19.9995)
        assert heartbeat.round_trips.latency == 0


class TestGivenUp:
    """A manual Ping that nobody waits for any more."""

    def test_it_neither_expires_nor_fails_the_connection(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        heartbeat.give_up(manual_ping(heartbeat, b"manual", START))
        assert heartbeat.wake_at == START + 20
        assert heartbeat.tick(START + 19, b"", UP_TO_DATE) == []

    def test_its_pong_still_counts(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        awaited = keepalive_ping(heartbeat)
        manual = manual_ping(heartbeat, b"manual", START + 21)
        heartbeat.give_up(manual)
        assert heartbeat.pong(b"manual", START + 25) == [awaited, manual]
        assert heartbeat.round_trips.latency == 4

    @pytest.mark.parametrize("ping_timeout", [None, 1000])
    def test_many_are_remembered_up_to_a_bound(self, ping_timeout: float | None) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=ping_timeout)
        keepalive = keepalive_ping(heartbeat)
        pings = [manual_ping(heartbeat, bytes([number]), START + 21) for number in range(100)]
        for ping in pings:
            heartbeat.give_up(ping)
        kept = pings[-16:] if ping_timeout is None else [keepalive, *pings[-16:]]
        assert heartbeat.pong(bytes([83]), START + 22) == []
        assert heartbeat.pong(bytes([99]), START + 22) == kept

    def test_after_its_pong_there_is_nothing_to_give_up(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual = manual_ping(heartbeat, b"manual", START)
        heartbeat.pong(b"manual", START + 1)
        heartbeat.give_up(manual)
        assert heartbeat.wake_at == START + 20
