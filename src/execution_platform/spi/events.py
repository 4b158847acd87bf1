"""The stream algebra.

Laws: `Started` comes first and once; an index opens (`PartStarted`) before its deltas and closes
(`PartFinished`) once; `UsageReported` comes before the last `Finished`; every choice that opened ends
with exactly one `Finished`, after which nothing of that choice follows; `Failed` ends the stream. A
stream that ends without `Finished` is broken, never complete. Events are not frozen: they are made by
the thousand and never shared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.spi.parts import Citation, Origin, Part, Signature
from execution_platform.spi.response import Finish
from execution_platform.spi.usage import Usage


@dataclass(slots=True)
class TextDelta:
    """More visible text."""

    text: str


@dataclass(slots=True)
class ThinkingDelta:
    """More thinking."""

    text: str


@dataclass(slots=True)
class SummaryDelta:
    """More of the thinking's summary number `index`."""

    text: str
    index: int = 0


@dataclass(slots=True)
class ArgumentsDelta:
    """More of a call's arguments, as JSON text."""

    text: str


@dataclass(slots=True)
class SignatureDelta:
    """The part's signature (replaces an earlier one)."""

    signature: Signature


@dataclass(slots=True)
class CitationDelta:
    """One more citation of the text."""

    citation: Citation


@dataclass(slots=True)
class MediaDelta:
    """More base64 data of inline media, or more of its transcript."""

    data: str
    transcript: str | None = None


@dataclass(slots=True)
class LogprobsDelta:
    """More log probabilities, a list in OpenAI's form."""

    logprobs: list[object]


@dataclass(slots=True)
class RefusalDelta:
    """More text by which the model declines."""

    text: str


Delta = (
    TextDelta
    | ThinkingDelta
    | SummaryDelta
    | ArgumentsDelta
    | SignatureDelta
    | CitationDelta
    | MediaDelta
    | LogprobsDelta
    | RefusalDelta
)


@dataclass(slots=True)
class Started:
    """The answer begins. Metadata of the response that the wire gives at the start."""

    id: str | None = None
    model: str | None = None
    origin: Origin | None = None
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    extra: Mapping[str, object] | None = None


@dataclass(slots=True)
class PartStarted:
    """A part opens. `part` holds what is known now; deltas add to it."""

    index: int
    part: Part
    choice: int = 0


@dataclass(slots=True)
class PartDelta:
    """A piece of an open part."""

    index: int
    delta: Delta
    choice: int = 0


@dataclass(slots=True)
class PartFinished:
    """A part closes. `part`, if given, replaces what the deltas made."""

    index: int
    part: Part | None = None
    choice: int = 0


@dataclass(slots=True)
class UsageReported:
    """Usage so far (`final=False`) or for good. Each report replaces the one before."""

    usage: Usage
    final: bool = True


@dataclass(slots=True)
class Finished:
    """A choice is complete. What the wire tells of the whole answer at its end comes with it too."""

    finish: Finish
    choice: int = 0
    extra: Mapping[str, object] | None = None
    safety: object = None
    grounding: object = None
    diagnostics: object = None


@dataclass(slots=True)
class Failed:
    """The answer broke; nothing follows."""

    error: ExecutionPlatformError


@dataclass(slots=True)
class Raw:
    """An event nobody here knows (pings, progress), kept for the dialect it came from."""

    dialect: str
    payload: Mapping[str, object]


Event = Started | PartStarted | PartDelta | PartFinished | UsageReported | Finished | Failed | Raw
