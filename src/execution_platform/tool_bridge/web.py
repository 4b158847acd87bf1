"""Calls of tools to the web: through the one guarded way out, within what the run may send, redirects checked one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from execution_platform.exceptions import InvalidToolArguments, ProviderError, ToolDenied, ToolError, ToolTimeout
from execution_platform.exceptions import TimeoutError as UpstreamTimeout
from execution_platform.tool_bridge.provenance import Provenance
from execution_platform.transport.egress import Egress, EgressBlocked, EgressPolicy, EgressReply, check_url, within

REDIRECTS: Final = 5
LARGEST: Final = 2 * 1024 * 1024
"""Bytes of an answer."""
SECONDS: Final = 15.0
"""For each hop."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_KEPT: Final = frozenset({307, 308})
_AGENT: Final = "execution-platform (tool; +https://pypi.org/project/execution-platform/)"
_TEXTS: Final = ("text/", "application/json", "application/xml", "application/xhtml+xml", "application/javascript")
_SUFFIXES: Final = ("+json", "+xml")
_NOT_TEXT: Final = frozenset({"image/svg+xml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WebCall:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """What came back in the end."""

    url: str
    status: int
    kind: str
    """The media type, without parameters."""
    text: str


class Web:
    """Calls under one policy. `trusted` hosts may be called by tainted runs too. Opens nothing before the first call."""

    def __init__(self, policy: EgressPolicy, trusted: tuple[str, ...] = ()) -> None:
        self._egress = Egress(policy)
        self._trusted = trusted

    async def aclose(self) -> None:
        """Close every connection."""
        await self._egress.aclose()

    async def call(self, call: WebCall, provenance: Provenance) -> Page:
        """The text at a URL, after at most five redirects.

        Raises `ToolDenied` (`egress_blocked`, `exfil_blocked`), `ToolTimeout`, `ToolError`.
        """
        for _ in range(REDIRECTS + 1):
            reply = await self._hop(call, provenance)
            moved = _next(call, reply)
            if moved is None:
                return _page(call.url, reply)
            call = moved
        raise ToolError(f"more than {REDIRECTS} redirects; the last one leads to {urlsplit(call.url).hostname}")

    async def _hop(self, call: WebCall, provenance: Provenance) -> EgressReply:
        try:
            host = check_url(call.url, self._egress.policy)
            provenance.check(call.url, trusted=within(host, self._trusted), size=len(call.body))
            headers = {"user-agent": _AGENT, **call.headers}
            return await self._egress.send(call.method, call.url, headers, call.body)
        except EgressBlocked as error:
            raise ToolDenied(f"args.url: {error.message}", code=error.code, param="args.url") from None
        except UpstreamTimeout:
            raise ToolTimeout(f"{urlsplit(call.url).hostname} did not answer in {SECONDS:g} seconds") from None
        except ProviderError as error:
            raise ToolError(f"args.url: {error.message}", param="args.url") from None
        except ValueError:
            raise InvalidToolArguments("args.url: the URL or a header cannot be sent", param="args.url") from None


def _next(call: WebCall, reply: EgressReply) -> WebCall | None:
    """Where a redirect leads; None when the reply is none. Raises `ToolDenied` for a way that is not taken."""
    target = reply.headers.get("location")
    if reply.status not in _MOVED or not target:
        return None
    url = urljoin(call.url, target)
    before, after = urlsplit(call.url), urlsplit(url)
    if before.scheme == "https" and after.scheme == "http":
        raise ToolDenied("the server redirects from https to http, which is not followed", code="egress_blocked")
    same = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    if reply.status in _KEPT and call.body and not same:
        raise ToolDenied("the server redirects the body to another host, which is not followed", code="egress_blocked")
    keeps_body = reply.status in _KEPT
    return WebCall(
        method=call.method if keeps_body or call.method in ("GET", "HEAD") else "GET",
        url=url,
        headers=call.headers if same else {"accept": call.headers.get("accept", "*/*")},
        body=call.body if keeps_body else b"",
    )


def _page(url: str, reply: EgressReply) -> Page:
    given = reply.headers.get("content-type", "text/plain")
    kind = given.partition(";")[0].strip().lower()
    if kind in _NOT_TEXT or not (kind.startswith(_TEXTS) or kind.endswith(_SUFFIXES)):
        raise InvalidToolArguments(
            f"args.url: the answer is {kind[:80]!r}, not text; only texts are fetched (status {reply.status})",
            param="args.url",
        )
    return Page(url, reply.status, kind, _decoded(reply.body, given))


def _decoded(body: bytes, given: str) -> str:
    charset = given.lower().partition("charset=")[2].strip(" \"'").partition(";")[0]
    try:
        return body.decode(charset if charset in _CHARSETS else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


_CHARSETS: Final = frozenset(
    {
        "utf-8",
        "us-ascii",
        "iso-8859-1",
        "iso-8859-15",
        "windows-1252",
        "utf-16",
        "shift_jis",
        "gbk",
        "gb18030",
        "euc-jp",
        "euc-kr",
        "big5",
        "koi8-r",
        "windows-1251",
    }
)
