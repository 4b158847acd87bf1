"""Searching: each engine's request and answer, against servers of their shapes."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from execution_platform import _json
from execution_platform.config.written.tools import RawTools
from execution_platform.exceptions import InvalidToolArguments, ToolDenied, ToolError
from loops import in_loop
from tooling import bench
from websites import Site, reply, site

HITS = [
    {"title": f"T{number}", "url": f"https://example.com/{number}", "content": "about", "description": "about"}
    for number in range(30)
]
ANSWERS: dict[str, Any] = {
    "searxng": {"query": "q", "results": HITS},
    "brave": {"web": {"results": HITS}},
    "tavily": {"results": HITS},
    "duckduckgo": {
        "Heading": "H",
        "AbstractURL": "https://example.com/0",
        "AbstractText": "about",
        "Results": [],
        "RelatedTopics": [
            {"Text": "T1 - about", "FirstURL": "https://example.com/1"},
            {"Name": "group", "Topics": [{"Text": "T2 - about", "FirstURL": "https://example.com/2"}]},
        ],
    },
}


def engine(name: str, url: str) -> dict[str, Any]:
    key = {"api_key": "search-key-canary"} if name in ("brave", "tavily") else {}
    return {"web_search": {"engine": name, "url": url, **key}}


@pytest.mark.parametrize("name", list(ANSWERS))
@in_loop
async def test_an_engine_is_asked_and_its_results_are_given(tmp_path: Path, name: str) -> None:
    async with site(lambda path, body: reply(_json.dumps(ANSWERS[name]), "application/json")) as web:
        tools = bench(tmp_path, engine(name, web.url))
        found = await tools.call("web_search", query="what  is\nit & why", limit=3)
        assert [hit["url"] for hit in found["results"]] == [f"https://example.com/{number}" for number in range(3)]
        assert all("about" in hit["snippet"] for hit in found["results"])
        assert asked(web) == "what is it & why"
        assert (b"search-key-canary" in web.requests[0]) == (name in ("brave", "tavily"))
        assert tools.provenance.untrusted
        assert "https://example.com/1" in tools.provenance.given
        await tools.close()


def asked(web: Site) -> str:
    head, _, body = web.requests[-1].partition(b"\r\n\r\n")
    if body:
        return str(_json.loads(body)["query"])  # type: ignore[index,call-overload]
    return parse_qs(urlsplit(head.split()[1].decode()).query)["q"][0]


@in_loop
async def test_results_can_be_limited_to_domains(tmp_path: Path) -> None:
    hits = [
        {"title": "a", "url": f"https://{host}/", "content": ""} for host in ("a.example", "x.b.example", "cb.example")
    ]
    async with site(lambda path, body: reply(_json.dumps({"results": hits}), "application/json")) as web:
        tools = bench(tmp_path, engine("searxng", web.url))
        found = await tools.call("web_search", query="q", domains=["b.example"])
        assert [hit["url"] for hit in found["results"]] == ["https://x.b.example/"]
        await tools.close()


def test_without_an_engine_the_tool_says_what_to_configure(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"tools\.web_search\.engine") as caught:
        bench(tmp_path).run("web_search", query="q")
    assert caught.value.code == "not_configured"


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"engine": "searxng"}, "needs url"),
        ({"engine": "brave"}, "needs api_key"),
        ({"engine": "altavista"}, "searxng"),
        ({"engine": "searxng", "url": "ftp://x"}, "pattern"),
    ],
)
def test_an_engine_that_is_not_complete_is_refused(section: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        RawTools.model_validate({"web_search": section})


@in_loop
async def test_an_engine_that_fails_is_told(tmp_path: Path) -> None:
    answers = [reply(b"{}", "application/json", 429), reply(b"<html>", "text/html"), reply(b"[1]", "application/json")]
    async with site(lambda path, body: answers.pop(0)) as web:
        tools = bench(tmp_path, engine("searxng", web.url))
        with pytest.raises(ToolError, match="answers 429"):
            await tools.call("web_search", query="q")
        with pytest.raises(ToolError, match="no JSON"):
            await tools.call("web_search", query="q")
        assert (await tools.call("web_search", query="q"))["results"] == []
        with pytest.raises(InvalidToolArguments, match="1 to 400"):
            await tools.call("web_search", query="x" * 500)
        await tools.close()


@in_loop
async def test_an_engine_redirects_nowhere_else(tmp_path: Path) -> None:
    """H3."""
    async with site(lambda path, body: reply(b"{}", "application/json")) as other:
        async with site(lambda path, body: reply(b"", status=302, location=other.url)) as web:
            tools = bench(tmp_path, engine("searxng", web.url))
            with pytest.raises(ToolDenied):
                await tools.call("web_search", query="q")
            await tools.close()
        assert other.requests == []


def test_a_list_of_things_to_do_lives_in_the_run(tmp_path: Path) -> None:
    tools = bench(tmp_path)
    tools.level = "read_only"
    todos = [
        {"content": "a", "status": "completed"},
        {"content": "b", "status": "in_progress", "activeForm": "doing b"},
    ]
    found = asyncio.run(tools.call("todo_write", todos=todos))
    assert (found["completed"], found["in_progress"], found["pending"]) == (1, 1, 0)
    assert tools.notes == {
        "todos": [{"content": "a", "status": "completed"}, {"content": "b", "status": "in_progress"}]
    }
    with pytest.raises(InvalidToolArguments, match=r"args\.todos\[0\]\.status"):
        tools.run("todo_write", todos=[{"content": "a", "status": "later"}])
    with pytest.raises(InvalidToolArguments, match="at most 100"):
        tools.run("todo_write", todos=[{"content": "a"}] * 101)
