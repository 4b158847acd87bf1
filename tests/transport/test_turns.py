import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import uvloop

from execution_platform.transport.turns import Turns


class Loop:
    """An event loop whose turns the test takes; its clock stands still during one."""

    def __init__(self) -> None:
        self.now = 1.0
        self._ready: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._ready.append(callback)

    def turn(self, seconds: float = 0.0075) -> None:
        """What is ready runs; the turn took so long."""
        self.now += seconds
        ready, self._ready = self._ready, []
        for callback in ready:
            callback()


class Scene:
    def __init__(self, real: asyncio.AbstractEventLoop) -> None:
        self._real = real
        self.loop = Loop()
        self.turns = Turns(cast("Any", self.loop), clock=self.loop.time)

    def come(self, count: int) -> list[asyncio.Future[None]]:
        """So many answers come in one turn."""
        waiters = [self._real.create_future() for _ in range(count)]
        for waiter in waiters:
            self.turns.wake(waiter)
        return waiters


@pytest.fixture
def scene() -> Iterator[Scene]:
    real = asyncio.new_event_loop()
    yield Scene(real)
    real.close()


def going(waiters: list[asyncio.Future[None]]) -> int:
    return sum(waiter.done() for waiter in waiters)


def test_few_answers_go_on_at_once(scene: Scene) -> None:
    for _ in range(50):
        assert going(scene.come(3)) == 3
        scene.loop.turn()
    assert scene.turns.waited == 0


def test_of_many_some_go_on_in_each_turn_in_the_order_in_which_they_came(scene: Scene) -> None:
    waiters = scene.come(100)
    per_turn = [going(waiters)]
    while going(waiters) < 100:
        assert [waiter.done() for waiter in waiters] == sorted((waiter.done() for waiter in waiters), reverse=True)
        scene.loop.turn()
        per_turn.append(going(waiters) - sum(per_turn))
    assert per_turn == [16, 16, 16, 16, 16, 16, 4]


def test_whoever_comes_later_is_behind_the_others(scene: Scene) -> None:
    first = scene.come(100)
    scene.loop.turn()
    second = scene.come(1)
    assert (going(first), going(second)) == (32, 0)
    for _ in range(4):
        scene.loop.turn()
    assert (going(first), going(second)) == (96, 0)
    scene.loop.turn()
    assert (going(first), going(second)) == (100, 1)


def test_fewer_go_on_after_a_long_turn_and_more_after_short_ones(scene: Scene) -> None:
    waiters = scene.come(4000)
    scene.loop.turn(0.03)
    begun = going(waiters)
    scene.loop.turn(0.03)
    after_long = going(waiters) - begun
    for _ in range(20):
        begun = going(waiters)
        scene.loop.turn(0.001)
    assert after_long == 5
    assert going(waiters) - begun == 128


def test_somebody_goes_on_however_long_turns_are(scene: Scene) -> None:
    waiters = scene.come(100)
    for _ in range(50):
        scene.loop.turn(5.0)
    assert going(waiters) == 100


def test_after_long_turns_small_crowds_soon_wait_for_one_turn_at_most(scene: Scene) -> None:
    scene.come(100)
    for _ in range(50):
        scene.loop.turn(5.0)
    for _ in range(5):
        scene.come(12)
        for _ in range(12):
            scene.loop.turn(0.001)
    waiters = scene.come(12)
    assert going(waiters) > 6
    scene.loop.turn()
    assert going(waiters) == 12


def test_a_short_turn_of_few_says_nothing_about_many(scene: Scene) -> None:
    for _ in range(30):
        scene.come(18)
        scene.loop.turn(0.001)
        scene.loop.turn(0.001)
    waiters = scene.come(100)
    assert going(waiters) == 16


def test_a_line_of_one_turn_is_measured_too(scene: Scene) -> None:
    scene.come(30)
    scene.loop.turn()
    scene.loop.turn(0.035)
    assert going(scene.come(30)) == 4


def test_who_gave_up_takes_nobodys_turn(scene: Scene) -> None:
    waiters = scene.come(100)
    for waiter in waiters[16:60]:
        waiter.cancel()
    scene.loop.turn()
    assert [waiter.done() for waiter in waiters] == [True] * 76 + [False] * 24


def test_the_wait_of_the_first_in_line_is_known(scene: Scene) -> None:
    scene.come(17)
    scene.loop.now += 0.25
    assert scene.turns.waited == 0.25
    scene.loop.turn()
    assert scene.turns.waited == 0


def test_what_comes_in_the_turn_that_empties_the_line_counts_with_it(scene: Scene) -> None:
    scene.come(30)
    scene.loop.turn()
    assert going(scene.come(3)) == 2


def test_others_get_between_the_turns_of_a_real_loop() -> None:
    async def run() -> list[str]:
        loop = asyncio.get_running_loop()
        turns, order = Turns(loop), list[str]()

        async def read(waiter: asyncio.Future[None], name: str) -> None:
            await waiter
            order.append(name)

        waiters = [loop.create_future() for _ in range(128)]
        readers = [loop.create_task(read(waiter, str(number))) for number, waiter in enumerate(waiters)]
        await asyncio.sleep(0)
        for waiter in waiters:
            turns.wake(waiter)
        loop.call_soon(loop.call_soon, order.append, "other")
        await asyncio.gather(*readers)
        return order

    order = uvloop.run(run())
    assert order.index("other") < 40
    assert [name for name in order if name != "other"] == [str(number) for number in range(128)]
