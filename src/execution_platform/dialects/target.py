"""For whom a request is being written in one of OpenAI's dialects."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.toolnames import NameMap, legal_call_id
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import FileRef, Origin, Signature
from execution_platform.spi.profile import ModelProfile


@dataclass(slots=True)
class Target:
    """For whom a request is being encoded, and what was lost on the way."""

    dialect: str
    """The one that is being written."""
    profile: ModelProfile
    source: str | None
    names: NameMap
    losses: list[Loss] = field(default_factory=list[Loss])

    @property
    def same(self) -> bool:
        """The request came in this very dialect, so its own forms are kept."""
        return self.source == self.dialect

    @property
    def provider(self) -> str | None:
        """The provider that will read the request."""
        provider = self.profile.extra.get("provider")
        return provider if isinstance(provider, str) else None

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    def lose_extra(self, extra: Mapping[str, object], path: str) -> None:
        """Record the leftovers of another dialect."""
        self.losses.extend(foreign_extra(extra, self.source, self.dialect, path=path))

    def is_home(self, signature: Signature) -> bool:
        """Whether the target issued `signature`, as far as is known."""
        return self._is_own(signature.origin)

    def is_home_file(self, source: FileRef) -> bool:
        """Whether the target stores this file, as far as is known."""
        return self._is_own(source.origin)

    def _is_own(self, origin: Origin) -> bool:
        if origin.dialect != self.dialect:
            return False
        return origin.provider is None or self.provider is None or origin.provider == self.provider

    def call_id(self, call_id: str) -> str:
        """A call id as sent: the caller's own, made legal when it comes from elsewhere."""
        return call_id if self.same else legal_call_id(call_id)

    def tool_name(self, name: str) -> str:
        """A tool name as sent."""
        return name if self.same else self.names(name)
