"""Every client dialect to every provider, whole and streamed: the books against the meter, to the token and to the nano-dollar."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from execution_platform.observability.logging import LineLog
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.books import stored
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ("openai_chat", "anthropic", "gemini", "native")
_CALLS = 20


@dataclass(frozen=True)
class Truth:
    """How many ways there are, and in how many of them the books and the meter differ."""

    ways: int
    calls: int
    differing: int


async def compare(folder: Path) -> Truth:
    """Some calls each way."""
    differing = calls = 0
    ways = list(itertools.product(CLIENTS, MODELS, (False, True)))
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream)
        for provider in config["providers"].values():
            provider["prices"] = {"*": {"input": 3, "output": 15, "cache_read": 0.3}}
        async with serving(folder, config) as gateway:
            gateway.gateway.state.log = LineLog(os.open(os.devnull, os.O_WRONLY))
            for client, target, stream in ways:
                before = len(await stored(gateway))
                upstream.meter.reset()
                for number in range(_CALLS):
                    usage = Tokens(input=1000 + number, output=50 + number, cached=200)
                    upstream.script(Script(Text("one two three four five"), usage=usage))
                    path, body = chat_body(client, "hello", MODELS[target], stream=stream)
                    calls += (await gateway.post(path, body)).status == 200
                rows = (await stored(gateway))[before:]
                metered = upstream.meter.totals()
                nanos = (
                    (metered["input"] - metered["cached"]) * 3000 + metered["cached"] * 300 + metered["output"] * 15000
                )
                booked = (
                    len(rows),
                    sum(row["input_tokens"] for row in rows),
                    sum(row["output_tokens"] for row in rows),
                    sum(row["cost_nanos"] for row in rows),
                )
                differing += booked != (metered["requests"], metered["input"], metered["output"], nanos)
    return Truth(len(ways), calls, differing)
