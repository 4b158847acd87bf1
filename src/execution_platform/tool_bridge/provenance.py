"""What one run has seen, and where it may still send something (H4).

Theory of operation
-------------------
Text that outsiders wrote may hold orders for the model, and private data may then leave by an address the model is told to
call: in a query, in a path, letter by letter through links of a page. What a model does is not to be trusted then, so the rule
does not ask it. A run that has read both something private and something outsiders wrote is *tainted*; from then on it sends
only to hosts an operator trusts, and to addresses that a person or a search engine gave as they are, character by character. A
search is sending too. Each run also has a cap of distinct addresses and of bytes sent, tainted or not.

The loop makes one `Provenance` for a run, gives it the user's texts and notes what earlier results in the transcript brought, and
passes it on in each `ToolContext`; `ToolRegistry` notes what each tool brought, also by the words it fails with. It is plain data, so that a run that resumes elsewhere keeps it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

from execution_platform.exceptions import ToolDenied
from execution_platform.tool_bridge.protocol import SideEffect

MOST_ADDRESSES: Final = 256
"""Distinct URLs one run may call."""
MOST_BYTES: Final = 256 * 1024
"""Bytes one run may send in URLs and bodies."""
_MOST_GIVEN: Final = 10_000
_URL: Final = re.compile(r"https?://[^\s<>\"'`\\]+", re.IGNORECASE)
_AROUND: Final = ".,;:!?)]}*_"


@dataclass(slots=True)
class Provenance:
    """What a run has seen so far."""

    private: bool = False
    """It has read what belongs to its owner: files, databases, the output of programs."""
    untrusted: bool = False
    """It has read what outsiders wrote: pages, answers of servers, results of searches."""
    given: set[str] = field(default_factory=set[str])
    """URLs that a person or a search engine gave."""
    called: set[str] = field(default_factory=set[str])
    sent: int = 0
    """Bytes that left in URLs and bodies."""

    @property
    def tainted(self) -> bool:
        """Whether what the model wants to send may be somebody else's wish."""
        return self.private and self.untrusted

    def give(self, text: str) -> None:
        """Note the URLs in a text of the user's own."""
        self.give_urls(found.rstrip(_AROUND) for found in _URL.findall(text))

    def give_urls(self, urls: Iterable[str]) -> None:
        """Note URLs that may be called as they are."""
        for url in urls:
            if len(self.given) < _MOST_GIVEN:
                self.given.add(_literal(url))

    def note(self, side_effect: SideEffect | None) -> None:
        """A tool of this kind has answered. One that does not say what it does (None) may have brought anything."""
        if side_effect in ("read", "exec", None):
            self.private = True
        if side_effect in ("network", None):
            self.untrusted = True

    def check(self, url: str, *, trusted: bool, size: int = 0) -> None:
        """Allow sending `size` bytes to a URL, and count them. Raises `ToolDenied` with the code `exfil_blocked`."""
        address = _literal(url)
        if self.tainted and not trusted and not (address in self.given and size == 0):
            raise ToolDenied(
                f"this run has read private data and text of outsiders, so it may only call URLs that the user or a search "
                f"gave literally, without a body, and hosts the operator trusts; {_host(url)} is neither. Ask the user for "
                "the URL, or go on without it.",
                code="exfil_blocked",
                param="args.url",
            )
        if len(self.called | {address}) > MOST_ADDRESSES or self.sent + len(address) + size > MOST_BYTES:
            raise ToolDenied(
                f"this run has sent as much as a run may ({MOST_ADDRESSES} addresses, {MOST_BYTES} bytes); report what you have",
                code="exfil_blocked",
                param="args.url",
            )
        self.called.add(address)
        self.sent += len(address) + size

    def as_json(self) -> dict[str, object]:
        """Everything, for the journal of a run."""
        return {
            "private": self.private,
            "untrusted": self.untrusted,
            "given": sorted(self.given),
            "called": sorted(self.called),
            "sent": self.sent,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> "Provenance":
        """What `as_json` gave."""
        return cls(
            private=kept.get("private") is True,
            untrusted=kept.get("untrusted") is True,
            given=set(cast("list[str]", kept.get("given", []))),
            called=set(cast("list[str]", kept.get("called", []))),
            sent=cast("int", kept.get("sent", 0)),
        )


def _literal(url: str) -> str:
    """A URL as far as it leaves: without its fragment."""
    return url.partition("#")[0]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "this host"
    except ValueError:
        return "this host"
