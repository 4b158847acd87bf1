"""R27: an upstream's address changes, or the name service fails, under a running transport.

The event loop is the seam: its `getaddrinfo` is a test's own, so that no file of the system is touched.
"""

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest

from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.testing import FakeUpstream, FaultProxy, Gate, Script, Text
from execution_platform.transport.http import HttpCall, HttpTransport
from execution_platform.transport.resolver import STALE_SECONDS
from execution_platform.transport.timeouts import Timeouts

BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}'


class NamedLoop(asyncio.SelectorEventLoop):
    """A loop that knows one name."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: str | int = "127.0.0.2"
        """The address of the name, or the failure of the name service."""
        self.asked = 0
        self.ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        if host != "upstream.test":
            return await super().getaddrinfo(host, port, **options)
        self.asked += 1
        if isinstance(self.answer, int):
            raise socket.gaierror(self.answer, "the name service fails")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.answer, port))]


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=NamedLoop) as runner:
        runner.run(work)


def loop() -> NamedLoop:
    found = asyncio.get_running_loop()
    assert isinstance(found, NamedLoop)
    return found


async def ask(transport: HttpTransport, port: int) -> Any:
    url = f"http://upstream.test:{port}/v1/chat/completions"
    call = HttpCall("POST", url, {"content-type": "application/json"}, BODY, stream=True)
    return await transport.send(call, timeouts=Timeouts())


async def read(reply: Any) -> bytes:
    return b"".join([data async for data in reply.chunks()])


def test_new_connections_follow_a_changed_address_and_running_streams_go_on() -> None:
    async def work() -> None:
        gate = Gate("more")
        async with (
            FakeUpstream(default=Script(Text("one two", chunks=2), pace_gate=gate)) as old,
            FakeUpstream(default=Script(Text("new"))) as new,
            FaultProxy(old.url, host="127.0.0.2") as first,
            FaultProxy(new.url, host="127.0.0.3", port=first.port),
        ):
            transport = HttpTransport(dns_seconds=0)
            running = await ask(transport, first.port)
            loop().answer = "127.0.0.3"
            assert b"new" in await read(await ask(transport, first.port))
            gate.release()
            assert (await read(running)).rstrip().endswith(b"[DONE]")
            assert (len(old.meter), len(new.meter)) == (1, 1)
            await transport.aclose()

    run(work())


def test_the_last_address_serves_on_while_the_name_service_fails_but_not_for_ever() -> None:
    async def work() -> None:
        async with FakeUpstream() as upstream, FaultProxy(upstream.url, host="127.0.0.2") as proxy:
            transport = HttpTransport(dns_seconds=0, keep_alive=0.001)
            await read(await ask(transport, proxy.port))
            proxy.break_all()
            loop().answer = socket.EAI_AGAIN
            assert (await read(await ask(transport, proxy.port))).rstrip().endswith(b"[DONE]")
            proxy.break_all()
            loop().ahead = STALE_SECONDS + 1
            with pytest.raises(ProviderError) as caught:
                await ask(transport, proxy.port)
            assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.CONNECTION, True)
            assert loop().asked == 3
            await transport.aclose()

    run(work())


def test_a_name_that_is_gone_is_not_answered_from_memory() -> None:
    async def work() -> None:
        async with FakeUpstream() as upstream, FaultProxy(upstream.url, host="127.0.0.2") as proxy:
            transport = HttpTransport(dns_seconds=0)
            await read(await ask(transport, proxy.port))
            proxy.break_all()
            loop().answer = socket.EAI_NONAME
            with pytest.raises(ProviderError):
                await ask(transport, proxy.port)
            await transport.aclose()

    run(work())
