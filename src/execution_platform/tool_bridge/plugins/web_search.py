"""The tool that searches the web: `web_search`, by the engine that the configuration names.

An engine is a row of `ENGINES`: how its request is made and where its answer keeps the results. Sources, looked up in November
2026: docs.searxng.org/dev/search_api.html; api-dashboard.search.brave.com/app/documentation/web-search;
docs.tavily.com/documentation/api-reference/endpoint/search; duckduckgo.com/api (instant answers only, no key).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, cast
from urllib.parse import quote_plus, urlsplit

from execution_platform import _json
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.tools import WebSearchConfig
from execution_platform.exceptions import ConfigError, InvalidToolArguments, ToolError
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.web import Web, WebCall
from execution_platform.transport.egress import EgressPolicy

_MOST: Final = 20
_LONGEST_QUERY: Final = 400
_SNIPPET: Final = 1000
_SECONDS: Final = 10.0
_LARGEST: Final = 1024 * 1024
SecretOf = Callable[[SecretRef], Secret]


class Hit(NamedTuple):
    """One result."""

    title: str
    url: str
    snippet: str


@dataclass(frozen=True, slots=True)
class Engine:
    """A search engine: its address, its request and its results."""

    url: str | None
    """Root of its API; None where each installation has its own."""
    needs_key: bool
    request: Callable[[str, str, str, int], WebCall]
    """From root, key, query and number of results."""
    results: Callable[[object], Iterator[Hit]]


def _searxng(root: str, key: str, query: str, count: int) -> WebCall:
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    return WebCall(method="GET", url=f"{root}/search?q={quote_plus(query)}&format=json", headers=headers)


def _brave(root: str, key: str, query: str, count: int) -> WebCall:
    headers = {"accept": "application/json", "x-subscription-token": key}
    return WebCall(method="GET", url=f"{root}/res/v1/web/search?q={quote_plus(query)}&count={count}", headers=headers)


def _tavily(root: str, key: str, query: str, count: int) -> WebCall:
    headers = {"accept": "application/json", "content-type": "application/json", "authorization": f"Bearer {key}"}
    body = _json.dumps({"query": query, "max_results": count})
    return WebCall(method="POST", url=f"{root}/search", headers=headers, body=body)


def _duckduckgo(root: str, key: str, query: str, count: int) -> WebCall:
    url = f"{root}/?q={quote_plus(query)}&format=json&no_html=1&no_redirect=1&skip_disambig=1"
    return WebCall(method="GET", url=url, headers={"accept": "application/json"})


def _rows(value: object, *path: str) -> Iterator[Mapping[str, object]]:
    """The objects of the list at a path of an answer; none where there is no such list."""
    for step in path:
        value = cast("Mapping[str, object]", value).get(step) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        for row in cast("list[object]", value):
            if isinstance(row, Mapping):
                yield cast("Mapping[str, object]", row)


def _listed(snippet: str, *path: str) -> Callable[[object], Iterator[Hit]]:
    def results(answer: object) -> Iterator[Hit]:
        for row in _rows(answer, *path):
            yield Hit(_text(row.get("title")), _text(row.get("url")), _text(row.get(snippet)))

    return results


def _instant(answer: object) -> Iterator[Hit]:
    """DuckDuckGo's abstract, results and related topics, those in groups too."""
    given = cast("Mapping[str, object]", answer if isinstance(answer, Mapping) else {})
    if given.get("AbstractURL"):
        yield Hit(_text(given.get("Heading")), _text(given.get("AbstractURL")), _text(given.get("AbstractText")))
    groups = [*_rows(given, "RelatedTopics")]
    flat: Sequence[Mapping[str, object]] = [*_rows(given, "Results"), *groups]
    for row in (*flat, *(inner for group in groups for inner in _rows(group, "Topics"))):
        text = _text(row.get("Text"))
        yield Hit(text.partition(" - ")[0], _text(row.get("FirstURL")), text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


ENGINES: Final[Mapping[str, Engine]] = {
    "searxng": Engine(None, needs_key=False, request=_searxng, results=_listed("content", "results")),
    "brave": Engine("https://api.search.brave.com", True, _brave, _listed("description", "web", "results")),
    "tavily": Engine("https://api.tavily.com", True, _tavily, _listed("content", "results")),
    "duckduckgo": Engine("https://api.duckduckgo.com", needs_key=False, request=_duckduckgo, results=_instant),
}


class WebSearch:
    """The tool with its engine."""

    def __init__(self, config: WebSearchConfig | None, secret: SecretOf) -> None:
        self._config = config
        self._secret = secret
        self._root = ""
        self.web: Web | None = None
        if config is not None:
            self._engine = ENGINES[config.engine]
            self._root = (config.url or self._engine.url or "").rstrip("/")
            self.web = _web(config, self._root)

    def tools(self) -> tuple[BuiltinTool, ...]:
        """The tool."""
        nature = Nature(side_effect="network", repeatable=True, least="read_only")
        return (BuiltinTool(self.search, nature, name="web_search"),)

    async def search(
        self,
        context: ToolContext,
        query: Annotated[str, "What to look for."],
        limit: Annotated[int, "Results to give."] = 8,
        domains: Annotated[list[str] | None, "Only results from these domains."] = None,
    ) -> Mapping[str, object]:
        """Search the web: titles, addresses and short extracts. Use http_fetch to read one of them."""
        config = self._config
        if config is None or self.web is None:
            raise ToolError(
                "no search engine is configured; an operator sets tools.web_search.engine to searxng, brave, tavily or "
                "duckduckgo. Go on without searching.",
                code="not_configured",
            )
        words = " ".join(query.split())
        if not words or len(words) > _LONGEST_QUERY:
            raise InvalidToolArguments(f"args.query: must have 1 to {_LONGEST_QUERY} characters", param="args.query")
        most = max(1, min(limit, _MOST))
        asked = words if not domains else f"{words} " + " OR ".join(f"site:{domain}" for domain in domains[:8])
        key = "" if config.api_key is None else self._secret(config.api_key).reveal()
        page = await self.web.call(self._engine.request(self._root, key, asked, most), context.provenance)
        hits = self._hits(page.status, page.text, domains)[:most]
        context.provenance.give_urls(hit.url for hit in hits)
        return {"query": words, "engine": config.engine, "results": [hit._asdict() for hit in hits]}

    def _hits(self, status: int, text: str, domains: list[str] | None) -> list[Hit]:
        if status != 200:
            raise ToolError(f"the search engine answers {status}; try again later, or go on without searching")
        try:
            answer = _json.loads(text)
        except _json.JsonError:
            raise ToolError(
                "the search engine's answer is no JSON; an operator has to look at tools.web_search"
            ) from None
        found = {hit.url: hit for hit in self._engine.results(answer) if hit.url.startswith(("http://", "https://"))}
        return [
            Hit(hit.title[:200], hit.url, hit.snippet[:_SNIPPET])
            for hit in found.values()
            if domains is None or _is_in(hit.url, domains)
        ]


def _is_in(url: str, domains: list[str]) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == domain or host.endswith("." + domain) for domain in domains)


def _web(config: WebSearchConfig, root: str) -> Web:
    """The way to the engine and to nowhere else; an address the operator gives may be an internal one."""
    parts = urlsplit(root)
    host = parts.hostname
    if host is None:
        raise ConfigError(f"tools.web_search.url: the engine {config.engine} needs the address of your installation")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    limits = EgressPolicy("search", plain=parts.scheme == "http", only=(host,), seconds=_SECONDS, most=_LARGEST)
    policy = limits if config.url is None else limits._replace(internal=(f"{host}:{port}",))
    return Web(policy, trusted=(host,) if config.trusted else ())
