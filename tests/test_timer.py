"""A timer shares its wake-up with others, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import time
import weakref
from collections.abc import Callable
from math import inf

import pytest

from asgi_keepalive.crowd import TURN, Crowd, _crowds
from asgi_keepalive.phases import NEAR, WIDTH
from asgi_keepalive.timer import Timer

from .support.fake_loop import START, FakeLoop, elapsed, fake_loop, in_no_time, ticks

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def started(callback: Callable[[], object] = lambda: None) -> tuple[Timer, list[float]]:
    """Return a timer, and a list of the times at which it fires."""

    def fire() -> None:
        fired.append(elapsed())
        timer.fired(time.monotonic())
        callback()

    fired: list[float] = []
    timer = Timer()
    timer.start(fire)
    return timer, fired


def set_at(timer: Timer, seconds: float) -> None:
    timer.set(START + seconds, inf)


SLOT = 50 * WIDTH
"""When a slot begins, in seconds."""


class TestSharing:
    @in_no_time
    async def test_alone_it_is_exact(self) -> None:
        timer, fired = started()
        set_at(timer, SLOT + 0.7 * WIDTH)
        await asyncio.sleep(2)
        assert fired == [pytest.approx(SLOT + 0.7 * WIDTH)]
        timer.stop()

    @in_no_time
    async def test_all_of_a_slot_fire_with_the_first(self) -> None:
        timers = [started() for _ in range(4)]
        for (timer, _), share in zip(timers, (0.7, 0.3, 0.9, 1.1), strict=True):
            set_at(timer, SLOT + share * WIDTH)
        assert len(fake_loop().timers()) == 2
        await asyncio.sleep(2)
        first = pytest.approx(SLOT + 0.3 * WIDTH)
        assert [fired for _, fired in timers[:3]] == 3 * [[first]]
        assert timers[3][1] == [pytest.approx(SLOT + 1.1 * WIDTH)]
        for timer, _ in timers:
            timer.stop()

    @in_no_time
    async def test_what_is_near_is_exact(self) -> None:
        timers = [started() for _ in range(2)]
        await asyncio.sleep(SLOT - NEAR + WIDTH)
        for (timer, _), share in zip(timers, (0.3, 0.7), strict=True):
            set_at(timer, SLOT + share * WIDTH)
        await asyncio.sleep(2)
        assert [fired for _, fired in timers] == [
            [pytest.approx(SLOT + share * WIDTH)] for share in (0.3, 0.7)
        ]
        for timer, _ in timers:
            timer.stop()

    @in_no_time
    async def test_each_fires_in_its_own_context(self) -> None:
        seen: list[str] = []
        for name in "one", "two":
            variable.set(name)
            timer, _ = started(lambda: seen.append(variable.get()))
            set_at(timer, SLOT)
            fake_loop().call_later(2, timer.stop)
        variable.set("another")
        await asyncio.sleep(3)
        assert sorted(seen) == ["one", "two"]

    @in_no_time
    async def test_time_is_only_made_earlier(self) -> None:
        timer, fired = started()
        set_at(timer, 5)
        set_at(timer, 6)
        set_at(timer, 3)
        await asyncio.sleep(10)
        assert fired == [pytest.approx(3)]
        timer.stop()


class TestLeaving:
    @in_no_time
    async def test_one_that_stops_leaves_the_others_their_timer(self) -> None:
        (first, early), (second, late) = started(), started()
        set_at(first, SLOT + 0.2 * WIDTH)
        set_at(second, SLOT + 0.8 * WIDTH)
        first.stop()
        await asyncio.sleep(2)
        assert (len(early), len(late)) == (0, 1)
        second.stop()

    @in_no_time
    async def test_last_one_takes_the_timer_along(self) -> None:
        timers = [started()[0] for _ in range(2)]
        for timer in timers:
            set_at(timer, SLOT)
        for timer in timers:
            assert len(fake_loop().timers()) == 1
            timer.stop()
        assert fake_loop().timers() == []
        assert not _crowds

    @in_no_time
    async def test_each_may_stop_all_others(self) -> None:
        def stop_others() -> None:
            for timer, fired in timers:
                if not fired:
                    timer.stop()

        timers = [started(stop_others) for _ in range(5)]
        for timer, _ in timers:
            set_at(timer, SLOT)
        await asyncio.sleep(2)
        assert sum(len(fired) for _, fired in timers) == 1
        for timer, _ in timers:
            timer.stop()

    def test_no_reference_to_the_loop_remains(self) -> None:
        async def main() -> None:
            timer, _ = started()
            set_at(timer, SLOT)
            timer.watch_stalls(True)
            timer.stop()

        loop = FakeLoop()
        loop.run_until_complete(main())
        loop.close()
        reference = weakref.ref(loop)
        del loop
        gc.collect()
        assert reference() is None

    def test_each_loop_has_its_own_crowd(self) -> None:
        loops = FakeLoop(), FakeLoop()
        crowds = [Crowd.join(loop) for loop in loops]
        assert crowds[0] is not crowds[1]
        assert Crowd.join(loops[0]) is crowds[0]
        for crowd in (*crowds, crowds[0]):
            crowd.leave()
        assert not _crowds
        for loop in loops:
            loop.close()


class TestWaking:
    @in_no_time
    async def test_each_may_set_timers_anew(self) -> None:
        def set_all() -> None:
            for timer, _ in timers:
                set_at(timer, elapsed() + 1)

        timers = [started(set_all) for _ in range(3)]
        for timer, _ in timers:
            set_at(timer, SLOT)
        await asyncio.sleep(1.5)
        assert [len(fired) for _, fired in timers] == [1, 1, 1]
        await asyncio.sleep(1)
        assert [len(fired) for _, fired in timers] == [2, 2, 2]
        for timer, _ in timers:
            timer.stop()

    @in_no_time
    async def test_an_exception_keeps_nobody_from_being_woken(self) -> None:
        def fail() -> None:
            raise RuntimeError("an observer's")

        timers = [started(fail) for _ in range(3)]
        for timer, _ in timers:
            set_at(timer, SLOT)
        await asyncio.sleep(2)
        assert [len(fired) for _, fired in timers] == [1, 1, 1]
        errors = [str(context["exception"]) for context in fake_loop().errors]
        assert errors == 3 * ["an observer's"]
        fake_loop().errors.clear()
        for timer, _ in timers:
            timer.stop()

    def test_an_exit_is_one(self) -> None:
        """The others are woken if the loop goes on."""

        def leave() -> None:
            raise SystemExit

        async def main() -> None:
            for timer, _ in timers:
                set_at(timer, 1)
            await asyncio.sleep(2)

        async def start() -> None:
            timers.extend(started(leave) for _ in range(2))

        timers: list[tuple[Timer, list[float]]] = []
        loop = FakeLoop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", loop.time)
            loop.run_until_complete(start())
            task = loop.create_task(main())
            for _ in timers:
                with pytest.raises(SystemExit):
                    loop.run_until_complete(task)
            loop.run_until_complete(task)
            assert [len(fired) for _, fired in timers] == [1, 1]
            for timer, _ in timers:
                timer.stop()
        loop.close()

    @in_no_time
    async def test_very_many_let_others_have_their_turn(self) -> None:
        timers = [started(lambda: fake_loop().stall(TURN / 10)) for _ in range(100)]
        for timer, _ in timers:
            set_at(timer, SLOT)
        await asyncio.sleep(SLOT)
        turns = [sum(len(fired) for _, fired in timers)]
        timers[-1][0].stop()  # it is not woken any more, unless it has been
        while sum(len(fired) for _, fired in timers) < 99:
            await asyncio.sleep(0)
            turns.append(sum(len(fired) for _, fired in timers))
        assert max(after - before for before, after in itertools.pairwise(turns)) <= 11
        await asyncio.sleep(1)
        assert max(len(fired) for _, fired in timers) == 1
        for timer, _ in timers:
            timer.stop()


class TestStall:
    @in_no_time
    async def test_timer_tells_how_late_it_is(self) -> None:
        def fire() -> None:
            stalls.append(timer.fired(time.monotonic()))

        stalls: list[float] = []
        timer = Timer()
        timer.start(fire)
        for late in 0, 3:
            set_at(timer, elapsed() + 1)
            fake_loop().stall(late)
            await asyncio.sleep(2)
        assert stalls == [0, pytest.approx(2)]
        timer.stop()

    @in_no_time
    async def test_one_that_is_later_in_its_slot_is_as_late_as_the_first(self) -> None:
        def fire() -> None:
            stalls.append(timer.fired(time.monotonic()))

        stalls: list[float] = []
        first, _ = started()
        timer = Timer()
        timer.start(fire)
        set_at(first, SLOT)
        set_at(timer, SLOT + 0.9 * WIDTH)
        fake_loop().stall(SLOT + WIDTH)
        await ticks()
        assert stalls == [pytest.approx(WIDTH)]
        first.stop()
        timer.stop()
