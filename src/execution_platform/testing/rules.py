"""Which script answers which request: rules with matchers, newest first."""

import fnmatch
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.testing.frames import Dialect, Operation, WireRequest
from execution_platform.testing.script import Script

Predicate = Callable[[WireRequest], bool]


@dataclass(slots=True)
class Match:
    """What a request must be like; what is None does not matter. `model` and `path` take `*` and `?`."""

    model: str | None = None
    path: str | None = None
    dialect: Dialect | None = None
    operation: Operation | Literal["any"] = "chat"
    when: Predicate | None = None

    def accepts(self, request: WireRequest) -> bool:
        """Whether the request is meant."""
        return (
            self.operation in {"any", request.operation}
            and (self.dialect is None or self.dialect == request.dialect)
            and (self.model is None or fnmatch.fnmatchcase(request.model, self.model))
            and (self.path is None or fnmatch.fnmatchcase(request.path, self.path))
            and (self.when is None or self.when(request))
        )


@dataclass(slots=True)
class Rule:
    """Scripts for matching requests, one after the other. The last one stays unless `once`."""

    match: Match
    scripts: Sequence[Script]
    once: bool = False
    used: int = 0

    def take(self) -> Script | None:
        """The next script, or None when all are used up."""
        if self.once and self.used >= len(self.scripts):
            return None
        script = self.scripts[min(self.used, len(self.scripts) - 1)]
        self.used += 1
        return script


@dataclass(slots=True)
class RuleBook:
    """All rules, and the script for requests that none of them means."""

    default: Script = field(default_factory=Script)
    _rules: list[Rule] = field(default_factory=list[Rule])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: Rule) -> None:
        """Put a rule before all others."""
        with self._lock:
            self._rules.insert(0, rule)

    def clear(self) -> None:
        """Drop all rules; the default stays."""
        with self._lock:
            self._rules.clear()

    def pick(self, request: WireRequest) -> Script:
        """The script for a request."""
        with self._lock:
            for rule in self._rules:
                if rule.match.accepts(request) and (script := rule.take()) is not None:
                    return script
        return self.default
