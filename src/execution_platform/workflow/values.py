"""A workflow as it is run: checked, and every phase with what it depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from execution_platform.config.values import PermissionMode

AS_WRITTEN = "default"
"""The configuration that changes nothing."""


@dataclass(frozen=True, slots=True)
class Contains:
    """The answer contains each of these texts."""

    texts: tuple[str, ...]

    def __str__(self) -> str:
        return "contains " + ", ".join(repr(text) for text in self.texts)


@dataclass(frozen=True, slots=True)
class MatchesSchema:
    """The answer is JSON of this schema."""

    schema: Mapping[str, object]

    def __str__(self) -> str:
        return "is JSON of its schema"


@dataclass(frozen=True, slots=True)
class HasFile:
    """The workspace has the file, and something is in it."""

    path: str

    def __str__(self) -> str:
        return f"has file {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeds:
    """The command ends with 0."""

    argv: tuple[str, ...]
    seconds: float | None = None
    """None: as long as any command may take."""
    writable: bool = False

    def __str__(self) -> str:
        return "runs " + " ".join(self.argv)


Check = Contains | MatchesSchema | HasFile | Succeeds


@dataclass(frozen=True, slots=True)
class Input:
    """Something that whoever starts the workflow says; without a default it must be said."""

    name: str
    description: str = ""
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase."""

    name: str
    persona: str
    prompt: str
    needs: tuple[str, ...]
    checks: tuple[Check, ...]
    model: str | None = None
    mode: PermissionMode | None = None
    tools: tuple[str, ...] | None = None
    """None: all of the persona."""
    limits: Mapping[str, float | int] = field(default_factory=dict[str, float | int])


@dataclass(frozen=True, slots=True)
class Override:
    """What a configuration changes in a phase; None changes nothing."""

    persona: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to staff the workflow."""

    name: str
    description: str = ""
    model: str | None = None
    phases: Mapping[str, Override] = field(default_factory=dict[str, Override])

    def staffed(self, phase: Phase) -> Phase:
        """`phase` with the persona and the model of this configuration."""
        own = self.phases.get(phase.name, Override())
        return replace(phase, persona=own.persona or phase.persona, model=own.model or self.model or phase.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """The whole of it."""

    name: str
    description: str
    inputs: Sequence[Input]
    phases: Sequence[Phase]
    configurations: Mapping[str, Configuration]
    document: Mapping[str, object]
    """The file's data, from which the same is made again."""

    def configuration(self, name: str) -> Configuration:
        """The configuration of that name; the one that changes nothing is always there."""
        return self.configurations.get(name) or Configuration(AS_WRITTEN)
