"""What a translation could not carry, and what is done about it.

Nothing is dropped in silence: an encoder returns its losses, `enforce` refuses those that the
caller's policy does not allow, and the rest is told in `x-ep-loss`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from execution_platform.exceptions import UnsupportedFeature
from execution_platform.spi.value import value

Severity = Literal["knob", "opaque", "content"]
"""`knob`: a setting; `opaque`: a token only its issuer could use; `content`: something the model or caller would see."""

LossPolicy = Literal["strict", "default", "lenient"]
"""`strict` refuses every loss, `default` refuses content, `lenient` allows all."""

_UNSAFE = re.compile(r"[^!-+\--~]")
_REFUSED: dict[LossPolicy, frozenset[Severity]] = {
    "strict": frozenset({"knob", "opaque", "content"}),
    "default": frozenset({"content"}),
    "lenient": frozenset(),
}


@value()
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
    """The value of `x-ep-loss`: `severity:path` separated by commas, each once.

    Paths hold member names that callers and providers chose: what could end or split a header value becomes `?`.
    """
    words = dict.fromkeys(f"{loss.severity}:{_UNSAFE.sub('?', loss.path)}" for loss in losses)
    return ", ".join(words)[:2048]
