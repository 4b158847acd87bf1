"""The tools that call the web: `http_fetch`, `http_post`, `http_json`."""

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from execution_platform import _json
from execution_platform.exceptions import InvalidToolArguments, ToolDenied, ToolError
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.readable import readable, without_images
from execution_platform.tool_bridge.text import shown_part
from execution_platform.tool_bridge.web import Page, Web, WebCall

_HTML: Final = ("text/html", "application/xhtml+xml")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_REFUSED: Final = re.compile(
    r"(host|connection|content-length|transfer-encoding|accept-encoding|expect|te|upgrade|trailer|cookie|forwarded|user-agent)\Z|(proxy-|x-forwarded-|sec-)",
    re.IGNORECASE,
)
_MOST_HEADERS: Final = 16
_LONGEST_BODY: Final = 64 * 1024

Url = Annotated[str, "Address to call; https, or http."]
Start = Annotated[int, "First character of the text to show, from 0; where a long answer goes on."]


def http_tools(web: Web) -> tuple[BuiltinTool, ...]:
    """The tools, calling through `web`."""
    tools = _Http(web)
    looks = Nature(side_effect="network", repeatable=True, least="read_only")
    sends = Nature(side_effect="network", repeatable=False, least="write")
    page = {
        "type": "object",
        "properties": {"url": _TEXT, "status": {"type": "integer"}, "content_type": _TEXT, "text": _TEXT},
    }
    return (
        BuiltinTool(tools.fetch, looks, name="http_fetch", returns=page),
        BuiltinTool(tools.post, sends, name="http_post", returns=page),
        BuiltinTool(
            tools.json,
            Nature(side_effect="network", repeatable=False, least="read_only"),
            name="http_json",
            returns={"type": "object", "properties": {"url": _TEXT, "status": {"type": "integer"}, "json": {}}},
        ),
    )


_TEXT: Final = {"type": "string"}


class _Http:
    def __init__(self, web: Web) -> None:
        self._web = web

    async def fetch(
        self,
        context: ToolContext,
        url: Url,
        offset: Start = 0,
        prompt: Annotated[str | None, "Ignored; other agents' tools have it."] = None,
    ) -> Mapping[str, object]:
        """Fetch a page or another text from the web, as readable text with its links."""
        call = WebCall(method="GET", url=url, headers={"accept": "text/html, text/*;q=0.9, */*;q=0.5"})
        return await _shown(await self._web.call(call, context.provenance), offset)

    async def post(
        self,
        context: ToolContext,
        url: Url,
        body: Annotated[str, "What is sent."],
        content_type: Annotated[str, "Its media type."] = "text/plain; charset=utf-8",
    ) -> Mapping[str, object]:
        """Send a text to a URL by POST, and show the answer."""
        headers = {"accept": "text/*, application/json", "content-type": _value("content_type", content_type)}
        call = WebCall(method="POST", url=url, headers=headers, body=_body(body.encode()))
        return await _shown(await self._web.call(call, context.provenance), 0)

    async def json(
        self,
        context: ToolContext,
        url: Url,
        method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], "HTTP method."] = "GET",
        body: Annotated[Any, "JSON value that is sent; none with GET."] = None,
        headers: Annotated[dict[str, str] | None, "More headers, such as an API's own."] = None,
    ) -> Mapping[str, object]:
        """Call a JSON API and give its answer as a value."""
        if method != "GET" and context.level == "read_only":
            raise ToolDenied(f"http_json with {method} needs the permission level write, and it is read_only here")
        if method == "GET" and body is not None:
            raise InvalidToolArguments(
                "args.body: GET has no body; put it into the URL, or use POST", param="args.body"
            )
        sent = {"accept": "application/json", **_headers(headers or {})}
        data = b""
        if body is not None:
            data, sent["content-type"] = _body(_json.dumps(body)), "application/json"
        page = await self._web.call(WebCall(method=method, url=url, headers=sent, body=data), context.provenance)
        if not page.text.strip():
            return {"url": page.url, "status": page.status, "json": None}
        try:
            value = _json.loads(page.text)
        except _json.JsonError as error:
            raise ToolError(
                f"the answer (status {page.status}, {page.kind}) is no JSON: {error.message}; http_fetch shows it as text"
            ) from None
        return {"url": page.url, "status": page.status, "json": value}


async def _shown(page: Page, offset: int) -> Mapping[str, object]:
    text = page.text
    if page.kind in _HTML:
        # The parser runs without the interpreter's lock, and a large page takes it some time.
        text = await asyncio.to_thread(readable, text, page.url)
    shown = shown_part(without_images(text), offset)
    return {"url": page.url, "status": page.status, "content_type": page.kind, **shown}


def _body(data: bytes) -> bytes:
    if len(data) > _LONGEST_BODY:
        raise InvalidToolArguments(f"args.body: {len(data)} bytes; at most {_LONGEST_BODY} are sent", param="args.body")
    return data


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > _MOST_HEADERS:
        raise InvalidToolArguments(f"args.headers: at most {_MOST_HEADERS}", param="args.headers")
    for name in given:
        if not _HEADER.match(name) or _REFUSED.match(name):
            raise InvalidToolArguments(f"args.headers: {name[:64]!r} is not sent by tools", param="args.headers")
    return {name.lower(): _value("headers", value) for name, value in given.items()}


def _value(argument: str, value: str) -> str:
    if not value.isprintable() or not value.isascii() or len(value) > 4096:
        raise InvalidToolArguments(f"args.{argument}: must be printable ASCII", param=f"args.{argument}")
    return value
