"""Connections that wait in the kernel: taken together, and refused once nobody listens any more."""

import asyncio
import gc
import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from execution_platform.gateway.greeting import Greeter


class Arrived(asyncio.Protocol):
    """Counts itself."""

    def __init__(self, seen: list[asyncio.BaseTransport]) -> None:
        self.seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.seen.append(transport)


async def ended(seen: list[asyncio.BaseTransport], count: int, clients: list[socket.socket], greeter: Greeter) -> None:
    """Wait until so many connections have come, and close everything."""
    async with asyncio.timeout(5):
        while len(seen) < count:
            await asyncio.sleep(0)
    for end in (*seen, *clients, greeter):
        end.close()


def test_all_that_wait_are_taken_in_one_turn() -> None:
    """R18."""

    async def run() -> None:
        seen: list[asyncio.BaseTransport] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:
            greeter = Greeter(os.dup(listening.fileno()), lambda: Arrived(seen), asyncio.get_running_loop())
            clients = [socket.create_connection(listening.getsockname()) for _ in range(20)]
            assert greeter.greet() == 20
            assert greeter.greet() == 0
            await ended(seen, 20, clients, greeter)

    asyncio.run(run())


def test_who_is_refused_and_has_sent_all_is_told_at_once_and_the_others_are_served() -> None:
    """R18: batch of four, of whom two are too many, and one of those has sent half of its request."""

    async def run() -> None:
        seen: list[asyncio.BaseTransport] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:
            loop = asyncio.get_running_loop()
            greeter = Greeter(
                os.dup(listening.fileno()),
                lambda: Arrived(seen),
                loop,
                refuse=lambda data, ahead: b"no" if data == b"whole" and ahead >= 2 else None,
                is_full=lambda ahead: ahead >= 2,
            )
            clients = [socket.create_connection(listening.getsockname()) for _ in range(4)]
            for client, sent in zip(clients, (b"whole", b"whole", b"whole", b"half"), strict=True):
                client.sendall(sent)
            assert greeter.greet() == 4
            clients[2].settimeout(5)
            assert (clients[2].recv(10), clients[2].recv(10)) == (b"no", b"")
            await ended(seen, 3, clients, greeter)

    asyncio.run(run())


def test_who_leaves_while_being_refused_is_gone_and_nothing_else() -> None:
    async def run() -> list[dict[str, object]]:
        broken: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, told: broken.append(told))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            client.sendall(b"whole")

            def refuse(_data: bytes, _ahead: int) -> bytes:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                return b"no"

            greeter = Greeter(
                os.dup(listening.fileno()), asyncio.Protocol, loop, refuse=refuse, is_full=lambda _ahead: True
            )
            assert greeter.greet() == 1
            for _ in range(10):
                await asyncio.sleep(0)
            greeter.close()
            gc.collect()
        return broken

    assert asyncio.run(run()) == []


def test_whoever_listens_no_more_takes_nobody_and_keeps_no_address() -> None:
    """R2."""

    async def run() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        greeter = Greeter(os.dup(listening.fileno()), asyncio.Protocol, asyncio.get_running_loop())
        listening.close()
        greeter.close()
        assert greeter.greet() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address).close()

    asyncio.run(run())


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No other file can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Counting(Greeter):
    """Counts how often it looks."""

    looks = 0

    def greet(self) -> int:
        self.looks += 1
        return super().greet()


def test_who_comes_while_nothing_can_be_opened_waits_and_wakes_nobody_in_vain() -> None:
    """R14."""

    async def run() -> None:
        seen: list[asyncio.BaseTransport] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:
            greeter = Counting(os.dup(listening.fileno()), lambda: Arrived(seen), asyncio.get_running_loop())
            greeter.start()
            client = socket.create_connection(listening.getsockname())
            with no_descriptors():
                for _ in range(10):
                    await asyncio.sleep(0)
                assert greeter.looks == 1
                assert seen == []
            await ended(seen, 1, [client], greeter)

    asyncio.run(run())


def test_whoever_stops_listening_in_a_pause_does_not_begin_again() -> None:
    async def run() -> list[dict[str, object]]:
        broken: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, told: broken.append(told))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            greeter = Greeter(os.dup(listening.fileno()), asyncio.Protocol, loop)
            greeter.start()
            client = socket.create_connection(listening.getsockname())
            with no_descriptors():
                greeter.greet()
            greeter.close()
            later = loop.create_future()
            loop.call_later(0.15, later.set_result, None)
            await later
            client.close()
        return broken

    assert asyncio.run(run()) == []
