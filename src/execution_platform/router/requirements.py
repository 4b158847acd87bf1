"""Requirements against capabilities: what a profile lacks, and what a request needs by its content."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from execution_platform.config.problems import suggest
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.profile import CAPABILITIES, ModelProfile

Requires = Mapping[str, object]
NOTHING: Requires = {}
TIERS: Mapping[object, int] = {"none": 0, "prompted": 1, "simulated": 2, "native": 3}
"""The three ways to offer tools, the best highest; a requirement is met by its own tier or a better one."""

_TIERED = "tool_calling"
_MINIMUM = "context_window"
_NAMED = "region"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestNeeds:
    """What a request contains, as far as it asks something of the model."""

    tools: bool = False
    images: bool = False
    audio: bool = False
    documents: bool = False
    json: bool = False
    json_schema: bool = False
    embeddings: bool = False
    logprobs: bool = False
    input_tokens: int | None = None
    """An estimate from below: more than the context window can never be served."""


def needs_of(needs: RequestNeeds) -> dict[str, object]:
    """The requirements a request brings by its content."""
    flags = {
        "vision": needs.images,
        "audio": needs.audio,
        "pdf": needs.documents,
        "json_mode": needs.json,
        "json_schema": needs.json_schema,
        "embeddings": needs.embeddings,
        "logprobs": needs.logprobs,
    }
    found: dict[str, object] = {name: True for name, wanted in flags.items() if wanted}
    if needs.tools:
        found[_TIERED] = "prompted"
    if needs.input_tokens is not None:
        found[_MINIMUM] = needs.input_tokens
    return found


def normalise(requires: Requires | Sequence[str] | None) -> dict[str, object]:
    """A request's `requires` as a checked map: a list item means true, false asks for nothing.

    Raises `InvalidRequest` that names the capability and the nearest valid one.
    """
    items: Iterable[tuple[str, object]]
    if requires is None:
        return {}
    items = requires.items() if isinstance(requires, Mapping) else ((name, True) for name in requires)
    found: dict[str, object] = {}
    for name, value in items:
        _check(name, value)
        if value not in (False, None, "none"):
            found[name] = "prompted" if name == _TIERED and value is True else value
    return found


def _check(name: object, value: object) -> None:
    if not isinstance(name, str) or name not in CAPABILITIES:
        raise InvalidRequest(
            f"requires.{name}: unknown capability. {suggest(str(name), CAPABILITIES)}", param=f"requires.{name}"
        )
    if name == _TIERED:
        valid, expected = (
            value is None or (isinstance(value, bool | str) and (isinstance(value, bool) or value in TIERS)),
            "one of native, simulated, prompted",
        )
    elif name == _MINIMUM:
        valid, expected = isinstance(value, int) and not isinstance(value, bool) and value > 0, "a number of tokens"
    elif name == _NAMED:
        valid, expected = isinstance(value, str), "the name of a region"
    else:
        valid, expected = isinstance(value, bool) or value is None, "true or false"
    if not valid:
        raise InvalidRequest(f"requires.{name}: must be {expected}", param=f"requires.{name}")


def joined(first: Requires, second: Requires) -> Requires:
    """Both sets of requirements; where they ask for the same thing, the stronger."""
    if not second:
        return first
    if not first:
        return second
    merged = dict(first)
    for name, value in second.items():
        merged[name] = _stronger(name, merged[name], value) if name in merged else value
    return merged


def _stronger(name: str, one: object, other: object) -> object:
    if name == _TIERED:
        return max(one, other, key=lambda tier: TIERS.get(tier, 0))
    if name == _MINIMUM and isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    return other


def unmet(requires: Requires, profile: ModelProfile) -> list[str]:
    """What `profile` lacks of `requires`, one readable reason each; empty when it will do."""
    return [
        reason for name, wanted in requires.items() if (reason := _lack(name, wanted, profile.offers(name))) is not None
    ]


def _lack(name: str, wanted: object, offered: object) -> str | None:
    if name == _TIERED:
        level = TIERS.get("prompted" if wanted is True else wanted, 0)
        return None if TIERS.get(offered, 0) >= level else f"needs tool_calling {_tier(wanted)}, offers {offered}"
    if name == _MINIMUM and isinstance(wanted, int):
        if not isinstance(offered, int):
            return f"needs context_window {wanted}, which is not known of this model"
        return None if offered >= wanted else f"needs context_window {wanted}, offers {offered}"
    if name == _NAMED:
        return None if offered == wanted else f"needs region {wanted}, runs in {offered or 'an unknown one'}"
    if wanted in (False, None):
        return None
    return None if offered == wanted else f"needs {name}"


def _tier(wanted: object) -> str:
    return "prompted or better" if wanted is True else str(wanted)
