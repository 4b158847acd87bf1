"""Nobody gets a word of somebody else's answer, however many ask at once and however many leave."""

import asyncio
import os
import random
import re
from pathlib import Path

from execution_platform.testing import Echo, FakeUpstream, Script
from serving import MODELS, Served, chat_body, serving, three_vendors

COUNT = int(os.environ.get("CROSSTALK_STREAMS", "300"))
"""Streams of one run; 2,000 where there is time."""
AT_ONCE = 100
CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
WORDS = 6


def test_aborts_never_mix_answers(tmp_path: Path) -> None:
    """P4: every prompt names itself, every answer repeats its prompt, and three of ten clients leave in the middle."""
    chance = random.Random(11)
    turns = asyncio.Semaphore(AT_ONCE)
    whole = 0

    async def ask(gateway: Served, number: int) -> None:
        nonlocal whole
        leaves_after = chance.randrange(1, 400) if chance.random() < 0.3 else None
        client, model = CLIENTS[number % 4], list(MODELS.values())[number // 4 % 3]
        mine = f"mark{number:06d}x"
        path, body = chat_body(client, " ".join([mine] * WORDS), model, stream=chance.random() < 0.8)
        async with turns, gateway.http.post(gateway.url + path, json=body) as response:
            assert response.status == 200
            seen = await response.content.read(leaves_after) if leaves_after else await response.read()
        marks = re.findall(rb"mark[0-9]{6}x", seen)
        assert set(marks) <= {mine.encode()}, (number, seen)
        if leaves_after is None:
            assert len(marks) == WORDS, (number, seen)
            whole += 1

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Echo(), pace=0.001))
            await asyncio.gather(*(ask(gateway, number) for number in range(COUNT)))
            assert whole > COUNT // 2

    asyncio.run(run())
