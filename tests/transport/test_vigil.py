import asyncio

import pytest

from execution_platform.transport.vigil import Vigil


class Waiting:
    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self.due = loop.time() + seconds
        self.rung = asyncio.Event()
        self.late = 0.0

    def ring(self) -> None:
        self.late = self._loop.time() - self.due
        self.rung.set()


def test_everybody_is_told_in_the_order_in_which_they_are_due() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        vigil = Vigil(loop)
        all_of_them = [Waiting(loop, seconds) for seconds in (0.09, 0.03, 0.06)]
        for one in all_of_them:
            vigil.add(one, one.due)
        await asyncio.gather(*(one.rung.wait() for one in all_of_them))
        assert all(one.late >= 0 for one in all_of_them)

    asyncio.run(asyncio.wait_for(main(), 5))


def test_who_waits_no_more_or_longer_is_not_told() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        vigil = Vigil(loop)
        gone, moved, last = Waiting(loop, 0.01), Waiting(loop, 0.01), Waiting(loop, 0.08)
        for one in (gone, moved, last):
            vigil.add(one, one.due)
        vigil.discard(gone)
        moved.due += 60
        await last.rung.wait()
        assert not gone.rung.is_set()
        assert not moved.rung.is_set()
        vigil.stop()

    asyncio.run(asyncio.wait_for(main(), 5))


def test_who_is_due_earlier_than_was_told_is_told_in_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        vigil = Vigil(loop)
        one = Waiting(loop, 600)
        vigil.add(one, one.due)
        one.due = loop.time() + 0.02
        vigil.expect(one.due)
        await one.rung.wait()

    asyncio.run(asyncio.wait_for(main(), 5))


@pytest.mark.parametrize("number", [1, 200])
def test_one_timer_stands_for_all(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        vigil = Vigil(loop)
        timers: list[float] = []
        call_at = loop.call_at
        monkeypatch.setattr(loop, "call_at", lambda when, *args: timers.append(when) or call_at(when, *args))
        for _ in range(number):
            one = Waiting(loop, 600)
            vigil.add(one, one.due)
            vigil.discard(one)
        assert len(timers) == 1
        vigil.stop()

    asyncio.run(main())
