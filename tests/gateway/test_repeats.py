"""A request that names itself is carried out once, whoever repeats it and whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from child import ChildGateway
from execution_platform.idempotency.store import Claim, ClaimStore, Recording
from execution_platform.testing import FakeUpstream, Gate, Script, Status, StreamError, Text
from gateway.books import stored
from gateway.watching import streaming
from servers import Postgres
from serving import MODELS, Got, Served, chat_body, serving, three_vendors
from storage.opened import opened

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
KEYS = {
    "keys": [
        {"name": "team", "key": "sk-ep-team-0123456789"},
        {"name": "other", "key": "sk-ep-other-0123456789"},
    ]
}
TEAM, OTHER = {"x-api-key": "sk-ep-team-0123456789"}, {"x-api-key": "sk-ep-other-0123456789"}
ANSWER = Script(Text("one two three"))


async def ask(gateway: Served, key: str, client: str = "openai_chat", text: str = "hi", **given: Any) -> Got:
    """One request under a key."""
    stream = given.pop("stream", False)
    path, body = chat_body(client, text, MODELS["openai_chat"], stream=stream)
    return await gateway.post(path, body, idempotency_key=key, **given)


def code(got: Got) -> str:
    """The word of an error."""
    return str(got.header("x-ep-error"))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_hundred_identical_requests_are_one_call_and_a_hundred_equal_answers(
    client: str, stream: bool, tmp_path: Path
) -> None:
    """R23, R6c: at once, and once more afterwards; one event in the books."""

    async def run() -> None:
        gate = Gate()
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("one two three"), gate=gate))
            asked = [asyncio.create_task(ask(gateway, "k1", client, stream=stream)) for _ in range(100)]
            async with asyncio.timeout(10):
                while gateway.gateway.state.admission.in_flight < 100:
                    await asyncio.sleep(0.01)
            gate.release()
            answers = [*(await asyncio.gather(*asked)), await ask(gateway, "k1", client, stream=stream)]
            assert len(upstream.meter) == 1
            assert {got.status for got in answers} == {200}
            assert len({got.body for got in answers}) == 1
            assert b"three" in answers[0].body
            assert [got.header("x-ep-idempotency") for got in answers].count(None) == 1
            (first,) = [got for got in answers if got.header("x-ep-idempotency") is None]
            for got in answers:
                if got is not first:
                    assert got.header("x-ep-original-request") == first.header("x-request-id")
                    assert got.header("x-ep-model") == "gpt-4o"
            assert len({got.header("x-request-id") for got in answers}) == len(answers)
            assert len(await stored(gateway)) == 1

    asyncio.run(run())


def test_a_stream_is_repeated_in_its_own_pieces(tmp_path: Path) -> None:
    """R23: as the events that were recorded."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(ANSWER)
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=True)
            first = await gateway.post(path, body, idempotency_key="k")
            async with streaming(gateway, path, body, idempotency_key="k") as stream:
                assert stream.response.headers["content-type"] == first.header("content-type")
                assert await stream.rest() == first.body
            assert len(upstream.meter) == 1

    asyncio.run(run())


def test_a_key_is_its_callers_own_and_stands_for_one_request(tmp_path: Path) -> None:
    """R6c: another body, path or persona is 422; another caller's key of the same name is another key."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            upstream.script(ANSWER)
            assert (await ask(gateway, "k", **TEAM)).status == 200
            for got in (
                await ask(gateway, "k", text="ho", **TEAM),
                await ask(gateway, "k", client="anthropic", **TEAM),
                await ask(gateway, "k", stream=True, **TEAM),
                await ask(gateway, "k", x_ep_persona="dev", **TEAM),
            ):
                assert (got.status, code(got)) == (422, "idempotency_key_reused"), got.body
            assert len(upstream.meter) == 1
            theirs = await ask(gateway, "k", **OTHER)
            assert (theirs.status, theirs.header("x-ep-idempotency")) == (200, None)
            assert len(upstream.meter) == 2

    asyncio.run(run())


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
def test_a_key_that_is_none_is_refused_with_the_rule(key: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            got = await ask(gateway, key)
            assert (got.status, code(got)) == (400, "invalid_idempotency_key"), got.body
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_who_does_not_want_to_wait_is_told_that_the_first_is_under_way(tmp_path: Path) -> None:
    """R23: 409 with a time to come back, at once or after as long as the caller waits."""

    async def run() -> None:
        gate = Gate()
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("one"), gate=gate))
            first = asyncio.create_task(ask(gateway, "k"))
            await gate.reached()
            got = await ask(gateway, "k", prefer="respond-async, wait=0")
            assert (got.status, code(got), got.header("retry-after")) == (409, "idempotency_in_progress", "1")
            other = await ask(gateway, "k", text="another", prefer="wait=0")
            assert other.status == 422
            gate.release()
            assert (await first).status == 200
            assert (await ask(gateway, "k", prefer="wait=0")).status == 200
            assert len(upstream.meter) == 1

    asyncio.run(run())


def test_a_failure_counts_once_something_has_left_and_not_before(tmp_path: Path) -> None:
    """R23: a provider's refusal is kept and no client need try again; our own refusal frees the key."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", "nobody")
            for _ in range(2):
                refused = await gateway.post(path, body, idempotency_key="k")
                assert (refused.status, refused.header("x-ep-idempotency")) == (404, None)
            upstream.script(Script(Status(500)))
            first = await ask(gateway, "k")
            assert (first.status, first.header("x-should-retry")) == (502, "false")
            first_tries = len(upstream.meter)
            again = await ask(gateway, "k")
            assert len(upstream.meter) == first_tries
            assert (again.status, again.body, again.header("x-ep-idempotency")) == (502, first.body, "replayed")
            assert again.header("x-should-retry") == "false"
            upstream.clear()
            upstream.script(Script(Text("one two"), faults=[StreamError(after=1, of="content")]))
            cut = await ask(gateway, "k2", stream=True)
            assert b"error" in cut.body
            tries = len(upstream.meter)
            assert (await ask(gateway, "k2", stream=True)).body == cut.body
            assert len(upstream.meter) == tries

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_request_goes_on_when_its_client_leaves_and_the_client_finds_the_answer(stream: bool, tmp_path: Path) -> None:
    """R23: that is what a key is for."""

    async def run() -> None:
        gate = Gate()
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("one two three"), gate=gate))
            asked = asyncio.create_task(ask(gateway, "k", stream=stream))
            await gate.reached()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            again = asyncio.create_task(ask(gateway, "k", stream=stream))
            gate.release()
            got = await again
            assert got.status == 200
            assert b"three" in got.body
            assert len(upstream.meter) == 1
            (row,) = await stored(gateway)
            assert (row["status"], row["confidence"]) == ("ok", "metered")

    asyncio.run(run())


def test_an_answer_that_is_too_large_is_not_kept_and_not_made_twice(tmp_path: Path) -> None:
    """R23, R7c: what is kept of one request is bounded."""

    async def run() -> None:
        config = {"idempotency": {"answer": 2000}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **config)) as gateway:
            upstream.script(Script(Text("word " * 2000)))
            first = await ask(gateway, "k")
            assert first.status == 200
            assert len(first.body) > 2000
            again = await ask(gateway, "k")
            assert (again.status, code(again), again.header("x-should-retry")) == (409, "answer_not_kept", "false")
            assert len(upstream.meter) == 1

    asyncio.run(run())


def test_embeddings_and_counts_are_repeated_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            body = {"model": "openai/text-embedding-3-small", "input": "hi"}
            first = await gateway.post("/v1/embeddings", body, idempotency_key="k")
            again = await gateway.post("/v1/embeddings", body, idempotency_key="k")
            assert (first.status, again.body) == (200, first.body)
            assert len(upstream.meter) == 1

    asyncio.run(run())


def test_without_the_database_a_key_cannot_be_promised_and_others_are_served(tmp_path: Path) -> None:
    """R23: rather 503 than a second charge."""

    async def run() -> None:
        environ = {
            "EP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "EP_MASTER_KEY": "sk-ep-master-0123456789",
        }
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            master: dict[str, Any] = {"x-api-key": "sk-ep-master-0123456789"}
            got = await ask(gateway, "k", **master)
            assert (got.status, code(got)) == (503, "database_unavailable"), got.body
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await gateway.post(path, body, **master)).status == 200
            assert len(upstream.meter) == 1

    asyncio.run(run())


def test_two_replicas_carry_a_request_out_once(tmp_path: Path, postgres_server: Postgres) -> None:
    """R23: the key is the database's, not a process's."""

    async def run() -> None:
        gate = Gate()
        environ = {"EP_DATABASE_URL": postgres_server.new_database(), "EP_MASTER_KEY": "sk-ep-master-0123456789"}
        async with FakeUpstream() as upstream:
            upstream.script(Script(Text("one two three"), gate=gate))
            config = three_vendors(upstream)
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
            async with (
                serving(tmp_path / "one", config, environ) as one,
                serving(tmp_path / "two", config, environ) as two,
            ):
                master: dict[str, Any] = {"x-api-key": "sk-ep-master-0123456789"}
                asked = [asyncio.create_task(ask(each, "k", **master)) for each in (one, two) * 10]
                await gate.reached()
                gate.release()
                answers = await asyncio.gather(*asked)
                assert {got.status for got in answers} == {200}
                assert len({got.body for got in answers}) == 1
                assert len(upstream.meter) == 1

    asyncio.run(run())


@asynccontextmanager
async def process(gateway: ChildGateway) -> AsyncIterator[aiohttp.ClientSession]:
    """`gateway`, started, and a client."""
    await asyncio.to_thread(gateway.start)
    try:
        async with aiohttp.ClientSession() as http:
            yield http
    finally:
        await asyncio.to_thread(gateway.end)


def test_answers_outlive_the_process_and_a_killed_one_leaves_no_second_charge() -> None:
    """R23: what was kept is there after a restart; what was cut by `kill -9` is unknown, and is not asked for again."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            gateway = ChildGateway(config)
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            headers = [{"idempotency-key": "whole"}, {"idempotency-key": "cut"}]
            async with process(gateway) as http:
                upstream.script(ANSWER)
                async with http.post(gateway.url + path, json=body, headers=headers[0]) as response:
                    first = await response.read()
                upstream.clear()
                gate = Gate()
                upstream.script(Script(Text("never"), gate=gate))
                left = asyncio.create_task(http.post(gateway.url + path, json=body, headers=headers[1]).__aenter__())
                await gate.reached()
                assert gateway.process is not None
                gateway.process.kill()
                await asyncio.gather(left, return_exceptions=True)
                await asyncio.to_thread(gateway.process.wait)
            age_leases(gateway.folder)
            async with process(gateway) as http:
                async with http.post(gateway.url + path, json=body, headers=headers[0]) as response:
                    assert (await response.read(), response.headers["x-ep-idempotency"]) == (first, "replayed")
                for _ in range(2):
                    async with http.post(gateway.url + path, json=body, headers=headers[1]) as response:
                        assert response.status == 409
                        assert response.headers["x-ep-error"] == "outcome_unknown"
                        assert response.headers["x-should-retry"] == "false"
            assert len(upstream.meter) == 2
            gateway.__exit__()

    asyncio.run(run())


def age_leases(folder: Path) -> None:
    """As if fifteen seconds had passed since the process died."""
    import sqlite3

    with sqlite3.connect(folder / "execution-platform.db") as connection:
        changed = connection.execute("UPDATE idempotency_keys SET lease_until = '2020-01-01 00:00:00.000000'")
        assert changed.rowcount >= 1


CLAIM = Claim("acme", "team", b"k" * 32, b"f" * 32)
DAY = timedelta(days=1)
RECORDING = Recording("req_1", 200, [(b"content-type", b"text/plain")], [b"a", b"\x00b"])


def test_a_row_belongs_to_its_owner_until_its_lease_runs_out(database_url: str) -> None:
    """R23: on both databases."""

    async def run() -> None:
        async with opened(database_url) as storage:
            store, brief = ClaimStore(storage, lease_seconds=600), ClaimStore(storage, lease_seconds=-1)
            one, two = str(UUID(int=1)), str(UUID(int=2))
            assert (await store.claim(CLAIM, one, "req_1", DAY)).is_mine
            assert not (await store.claim(CLAIM, two, "req_2", DAY)).is_mine
            await brief.renew([one])
            await store.renew([one])
            assert (await store.claim(CLAIM, two, "req_2", DAY)).state == "running"
            await brief.renew([one])
            found = await store.claim(CLAIM, two, "req_2", DAY)
            assert (found.state, found.is_mine, found.request_id, found.answer) == ("unknown", False, "req_1", None)
            await store.finish(CLAIM, one, RECORDING)
            assert (await store.claim(CLAIM, two, "req_2", DAY)).state == "done"
            await store.release(CLAIM, two)
            assert (await store.claim(CLAIM, two, "req_2", DAY)).state == "done"
            await store.release(CLAIM, one)
            assert (await store.claim(CLAIM, two, "req_2", DAY)).is_mine

    asyncio.run(run())


def test_what_has_expired_is_forgotten(database_url: str) -> None:
    """R23, R7c: a day after the request, and not later than the next one under its key."""

    async def run() -> None:
        async with opened(database_url) as storage:
            store = ClaimStore(storage)
            one, two = str(UUID(int=1)), str(UUID(int=2))
            other = Claim("acme", "team", b"o" * 32, b"f" * 32)
            await store.claim(CLAIM, one, "req_1", timedelta())
            await store.claim(other, one, "req_1", DAY)
            assert (await store.claim(CLAIM, two, "req_2", timedelta())).is_mine
            assert await store.forget() == 1
            assert not (await store.claim(other, two, "req_2", DAY)).is_mine

    asyncio.run(run())
