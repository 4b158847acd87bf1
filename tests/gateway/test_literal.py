"""What people write is kept and sent as they wrote it: no reference in it is looked up, no template filled in."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform import _json
from execution_platform.testing import FakeUpstream
from serving import Served, chat_body, serving, three_vendors

SECRET = "value-of-the-variable-7777"
REFERENCES = [
    "os.environ/CANARY",
    "${CANARY}",
    "$CANARY",
    "$(cat /etc/passwd)",
    "vault://secret/x#y",
    "file:///etc/passwd",
]
TEMPLATES = [
    "{{ ''.__class__.__mro__ }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{0.__class__.__init__.__globals__}",
    "{CANARY}",
    "%(CANARY)s",
    "<% 7*7 %>",
    "${{7*7}}",
    "#{7*7}",
]
KEY: dict[str, Any] = {"authorization": "Bearer sk-ep-boss-0123456789"}


async def through_every_field(gateway: Served, upstream: FakeUpstream, literal: str) -> None:
    """Write `literal` wherever a user may write, and find it there again and at the provider."""
    persona = {"prefer": ["openai/gpt-4o"], "system": literal}
    async with gateway.http.put(f"{gateway.url}/v1/personas/mine", json=persona, headers=KEY) as response:
        assert response.status == 200, await response.text()
    assert (await gateway.get("/v1/personas/mine", **KEY)).json()["system"] == literal
    tenant = await gateway.post("/v1/tenants", {"id": f"t{len(upstream.meter)}", "display_name": literal}, **KEY)
    assert (tenant.status, tenant.json().get("display_name")) == (201, literal), tenant.body
    key = await gateway.post("/v1/keys", {"name": literal, "tenant": "default"}, **KEY)
    assert key.status == 422 or (key.status, key.json()["name"]) == (201, literal), key.body

    path, body = chat_body("openai_chat", literal, "persona/mine")
    body |= {"user": literal, "metadata": {"a": literal}}
    got = await gateway.post(path, body, **KEY)
    assert got.status == 200, got.body
    sent: Any = _json.loads(upstream.meter.exchanges[-1].raw_body)
    assert [message["content"] for message in sent["messages"]] == [literal, literal]
    assert (sent["user"], sent["metadata"]) == (literal, {"a": literal})
    assert SECRET not in got.body.decode()


@pytest.mark.parametrize("kind", ["references", "templates"])
def test_what_users_write_is_stored_and_sent_as_it_is(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2, P3: personas, names and prompts hold text, whatever it looks like."""
    monkeypatch.setenv("CANARY", SECRET)
    keys = [{"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True}]

    async def run() -> None:
        environ = {"CANARY": SECRET}
        async with (
            FakeUpstream() as upstream,
            serving(tmp_path, three_vendors(upstream, keys=keys), environ) as gateway,
        ):
            for literal in REFERENCES if kind == "references" else TEMPLATES:
                await through_every_field(gateway, upstream, literal)

    asyncio.run(run())


def test_an_object_that_names_a_secret_is_only_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2: the serialised references of other frameworks mean nothing here."""
    monkeypatch.setenv("CANARY", SECRET)
    reference = {"lc": 1, "type": "secret", "id": ["CANARY"]}

    async def run() -> None:
        async with (
            FakeUpstream() as upstream,
            serving(tmp_path, three_vendors(upstream), {"CANARY": SECRET}) as gateway,
        ):
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
            tool = {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object", "default": reference}},
            }
            got = await gateway.post(path, {**body, "tools": [tool]})
            assert got.status == 200, got.body
            (sent,) = upstream.meter.exchanges
            asked: Any = _json.loads(sent.raw_body)
            assert asked["tools"] == [tool]
            assert SECRET not in sent.raw_body.decode() + got.body.decode()

    asyncio.run(run())
