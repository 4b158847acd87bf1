"""Reversible renaming of tool names and call ids that a target does not accept.

OpenAI and Anthropic take `[a-zA-Z0-9_-]{1,64}` (Anthropic 128), Gemini also dots and colons but must
start with a letter or underscore. A name that needs a change becomes a readable stem and a digest of
the whole, so that distinct names stay distinct and the same name is always the same.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST = 8


def legal(name: str, limit: int = 64) -> str:
    """`name` in `[a-zA-Z0-9_-]{1,limit}`, starting with a letter or underscore; unchanged if it is so already."""
    clean = _FOREIGN.sub("_", name)
    if clean[:1].isdigit() or clean[:1] == "-" or not clean:
        clean = "_" + clean
    if clean == name and len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{clean[: limit - _DIGEST - 1]}_{digest}"


@dataclass(slots=True)
class NameMap:
    """Names as declared by the caller ↔ names as sent."""

    limit: int = 64
    sent: dict[str, str] = field(default_factory=dict[str, str])
    """Declared → sent."""

    def add(self, names: Iterable[str]) -> "NameMap":
        """Register declared names."""
        taken = set(self.sent.values())
        for name in names:
            if name not in self.sent:
                wire = legal(name, self.limit)
                if wire in taken:
                    wire = legal(f"{name}\x00{len(taken)}", self.limit)
                self.sent[name] = wire
                taken.add(wire)
        return self

    def __call__(self, name: str) -> str:
        """The name as sent, also for names of earlier calls that are no longer declared."""
        return self.sent.get(name) or legal(name, self.limit)

    @property
    def declared(self) -> Mapping[str, str]:
        """Sent → declared, for the names that had to be changed."""
        return {wire: name for name, wire in self.sent.items() if wire != name}


def legal_call_id(call_id: str, limit: int = 64) -> str:
    """A tool-call id that every dialect accepts; the same id always gives the same result."""
    if call_id and len(call_id) <= limit and not _FOREIGN.search(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode()).hexdigest()[:24]
    return f"call_{digest}"
