"""What a translation could not carry, and what is done about it.

Nothing is dropped in silence: an encoder returns its losses, `enforce` refuses those that the
caller's policy does not allow, and the rest is told in `x-ep-loss`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from execution_platform.exceptions import UnsupportedFeature

Severity = Literal["knob", "opaque", "content"]
"""`knob`: a setting; `opaque`: a token only its issuer could use; `content`: something the model or caller would see."""

LossPolicy = Literal["strict", "default", "lenient"]
"""`strict` refuses every loss, `default` refuses content, `lenient` allows all."""

_REFUSED: dict[LossPolicy, frozenset[Severity]] = {
    "strict": frozenset({"knob", "opaque", "content"}),
    "default": frozenset({"content"}),
    "lenient": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing lost: where it stood in the source request or response, what it was, how grave."""

    path: str
    what: str
    severity: Severity = "knob"


def enforce(losses: Iterable[Loss], policy: LossPolicy, *, target: str) -> None:
    """Raise `UnsupportedFeature` with the losses that `policy` refuses, if any."""
    refused = [loss for loss in losses if loss.severity in _REFUSED[policy]]
    if refused:
        raise UnsupportedFeature(refused, target=target)


def loss_header(losses: Sequence[Loss]) -> str:
    """The value of `x-ep-loss`: `severity:path` separated by commas, printable ASCII only, each once."""
    words = dict.fromkeys(f"{loss.severity}:{loss.path}" for loss in losses)
    return ", ".join(word.encode("ascii", "replace").decode("ascii") for word in words)[:2048]
