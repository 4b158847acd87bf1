"""A workflow as it is written: every key, with the sentence that its JSON Schema shows."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.schema import Names, PermissionMode
from execution_platform.config.units import Seconds

_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
_CHECKS = ("contains", "matches_schema", "file", "command")


def _told(value: str) -> str:
    if not value.strip():
        raise ValueError("must say something")
    return value


Prose = Annotated[str, AfterValidator(_told)]
Name = Annotated[str, Field(pattern=_NAME)]
ConfigurationName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class RawInput(Raw):
    """Something that whoever starts the workflow says."""

    description: str = Field(default="", description="What it is.")
    default: str | None = Field(
        default=None, description="Its value where none is given; without one it must be given."
    )


class RawCheck(Raw):
    """One condition on what a phase made; exactly one of its kinds."""

    contains: Names | None = Field(default=None, description="Texts that the answer contains.")
    matches_schema: dict[str, object] | None = Field(
        default=None,
        alias="json",
        description="JSON Schema (2020-12) of the answer, which is JSON, alone or in a fenced block.",
    )
    file: str | None = Field(
        default=None, min_length=1, description="File of the workspace that exists and is not empty."
    )
    command: list[str] | None = Field(
        default=None, min_length=1, description="Program and arguments that end with 0, in the sandbox."
    )
    seconds: Seconds | None = Field(
        default=None, description="Time for the command; that of tools.exec.seconds unless set."
    )
    writable: bool | None = Field(
        default=None, description="Whether the command may change the workspace; it may not unless set."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in _CHECKS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("needs exactly one of contains, json, file and command")
        if self.command is None and (self.seconds is not None or self.writable is not None):
            raise ValueError("has seconds or writable, which belong to a command")
        return self


class RawPhaseLimits(Raw):
    """Limits of a phase's run, below those of the configuration."""

    steps: int | None = Field(default=None, ge=1, description="Turns of the agent.")
    seconds: Seconds | None = Field(default=None, description="Wall time.")
    tokens: int | None = Field(default=None, ge=1, description="Tokens of all turns.")
    cost_usd: float | None = Field(default=None, gt=0, description="US dollars of all turns.")


class RawPhase(Raw):
    """One phase: a task for an agent, and how to see that it is done."""

    persona: Prose = Field(description="Who works on it.")
    prompt: Prose = Field(
        description="The task; {{name}} stands for an input, or for the answer of a phase that comes before."
    )
    needs: list[str] | None = Field(
        default=None, description="Phases that must have succeeded; the one written before it unless set."
    )
    model: str | None = Field(default=None, min_length=1, description="Model; the persona's own choice unless set.")
    mode: PermissionMode | None = Field(
        default=None, description="What may be done without asking; the persona's unless set."
    )
    tools: list[str] | None = Field(default=None, description="Tools of the persona it is given; all unless set.")
    limits: RawPhaseLimits = Field(default_factory=RawPhaseLimits, description="Limits of its run.")
    checks: list[RawCheck] = Field(
        min_length=1, description="What must be true of its answer or its files for it to have succeeded."
    )


class RawOverride(Raw):
    """What a configuration changes in a phase."""

    persona: str | None = Field(default=None, min_length=1, description="Who works on it instead.")
    model: str | None = Field(default=None, min_length=1, description="Model that works on it.")


class RawConfiguration(Raw):
    """One way to staff the workflow."""

    description: str = Field(default="", description="What it is for.")
    model: str | None = Field(default=None, min_length=1, description="Model of every phase that is not named below.")
    phases: dict[str, RawOverride] = Field(default_factory=dict[str, RawOverride], description="Changes by phase.")


class RawWorkflow(Raw):
    """The whole file."""

    version: Literal[1] = Field(default=1, description="Version of this format.")
    name: ConfigurationName = Field(description="Name of the workflow.")
    description: str = Field(default="", description="What it makes.")
    inputs: dict[Name, RawInput] = Field(
        default_factory=dict[str, RawInput], description="What whoever starts it says, by name."
    )
    phases: dict[Name, RawPhase] = Field(min_length=1, description="The phases by name, in order.")
    configurations: dict[ConfigurationName, RawConfiguration] = Field(
        default_factory=dict[str, RawConfiguration], description="Ways to staff it, by name; compared by the report."
    )


def workflow_schema() -> dict[str, object]:
    """The JSON Schema of the file (draft 2020-12)."""
    schema: dict[str, object] = RawWorkflow.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:execution-platform:schema:workflow:1",
        **schema,
        "title": "workflow",
        "description": "A workflow of the Execution Platform.",
    }
