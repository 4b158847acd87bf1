"""What a scenario of the rehearsal is: a chain of upstreams, what goes wrong at each, what each client must see.

A scenario is data. The runner plays it once for each way (a whole answer, a stream) and each client, every time with
upstreams and deployments of its own, so that no breaker, cool-down or script of one cell is seen by another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from execution_platform.testing import Listening, Script, Text
from execution_platform.testing.certificates import Flaw
from execution_platform.testing.proxy_faults import ProxyFault

if TYPE_CHECKING:
    from chaos.stage import Stage

Way = Literal["whole", "stream"]
Kind = Literal["openai", "anthropic", "gemini"]
Outcome = Literal["answer", "error", "cut", "continued", "left"]
WAYS: tuple[Way, ...] = ("whole", "stream")
DIALECTS = ("openai_chat", "anthropic", "gemini")
LIFECYCLE = ("openai_chat", "anthropic")
"""Dialects whose streams begin with an event without content."""
WORDS = 12


def words(name: str, count: int = WORDS) -> str:
    """A text in which no two words are alike, so that a lost, doubled or foreign piece shows."""
    return " ".join(f"{name}{number}" for number in range(count))


@dataclass(frozen=True, kw_only=True)
class Link:
    """One upstream of the chain: its kind, what it says in turn (the last stays), what the proxy before it does."""

    kind: Kind = "openai"
    says: Sequence[Script] = ()
    """Empty: an answer of its own words."""
    proxy: Sequence[Sequence[ProxyFault]] = ()
    listen: Listening = "serve"
    tls: Flaw | Literal["", "unknown"] = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """More of the provider's configuration."""

    @property
    def has_proxy(self) -> bool:
        """Whether a proxy stands before it."""
        return bool(self.proxy) or self.listen != "serve" or bool(self.tls)

    def script(self, name: str, script: Script) -> Script:
        """`script`, with this link's own words where it says nothing special."""
        from msgspec.structs import replace

        return replace(script, reply=Text(words(name))) if script.reply == Script().reply else script


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What every client must see, and what the meters of the upstreams must say afterwards."""

    outcome: Outcome = "answer"
    by: int | None = 1
    """The link that answers; None where it does not matter."""
    status: tuple[int, ...] = ()
    """Statuses an error may have."""
    code: tuple[str, ...] = ()
    """Values of `x-ep-error` an error may have."""
    words: int | None = None
    """Words of the first link that arrive before a cut."""
    requests: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Least and most requests that a link may get."""
    success: float = 1.0
    """Share of the requests that must end in an answer."""
    retry_after: bool = False
    last_by: int | None = None
    """The link that answers the last request of many; -1 for any."""
    within: float | None = None
    """Seconds the promise allows until the first content; told in the scorecard."""
    closed_within: float | None = None
    """Seconds in which the upstream's connection must be closed after the client left."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One row of the scorecard."""

    id: str
    title: str
    chain: Sequence[Link]
    expect: Expect = Expect()
    whole: Expect | None = None
    """What is expected of whole answers, where it differs."""
    promises: str = ""
    """Identifiers of the promises it tests."""
    config: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    """More of the logical model."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """More headers of the request."""
    ways: tuple[Way, ...] = WAYS
    clients: tuple[str, ...] = DIALECTS
    raw: tuple[str, ...] = DIALECTS
    """Clients that also ask by a raw socket, where it streams."""
    times: int = 1
    at_once: int = 1
    pause: float = 0.0
    act: Callable[["Stage"], None] | None = None
    """What happens to the gateway meanwhile."""
    leave: Literal["", "waiting", "streaming"] = ""
    """The client goes away."""
    sdk_retries: bool = False
    """The SDKs retry as they come out of the box."""
    short: bool = False
    """Part of the short rehearsal."""
    lacks: Callable[[], str] | None = None
    """What it needs and this machine or this version does not have; empty when all is there."""
    environ: Mapping[str, str] = field(default_factory=dict)

    def expected(self, way: Way) -> Expect:
        """What is expected of one way."""
        return self.whole if way == "whole" and self.whole is not None else self.expect
