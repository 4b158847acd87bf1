"""What each part does when something it relies on is gone: one table of values, and the only place that says so.

The rule behind it: authority fails closed, convenience fails open, money fails closed before dispatch and never fails
after it. Whoever meets an outage asks `when(lost, concern)` and does what it says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Lost(StrEnum):
    """What is gone."""

    REDIS = "redis"
    DATABASE = "database"
    BOTH = "both"
    DISK = "disk"
    SECRETS = "secret store"
    PRICE = "price"
    SANDBOX = "sandbox"
    TOOL_DEFINITION = "tool definition"
    TELEMETRY = "telemetry"


class Concern(StrEnum):
    """Whose work it is."""

    AUTH = "auth"
    BUDGET = "budget"
    RATE_LIMIT = "rate limit"
    CACHE = "cache"
    LEDGER = "ledger"
    TOOLS = "tools"


class Action(StrEnum):
    """What is done."""

    NORMAL = "normal"
    """As if nothing were gone."""
    AUTHORITY = "authority"
    """Without the shortcut: every decision at the authority itself, which is slower."""
    CACHED = "cached"
    """By what is known, for a while."""
    LOCAL_SHARE = "local share"
    """Each replica takes its share and says so."""
    LEASED = "leased"
    """From what was leased before."""
    JOURNAL = "journal"
    """Into the local journal, delivered later."""
    STATIC = "static"
    """By the keys of the configuration alone."""
    INDEPENDENT = "independent"
    """Only what does not need it."""
    OFF = "off"
    """Not at all; requests go on without it."""
    DENY = "deny"
    """The request is refused before anything is sent to a provider."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is done, and what when that comes to its end."""

    action: Action
    seconds: float | None = None
    """How long `action` may last; None is as long as it can."""
    then: Action | None = None
    code: str | None = None
    """The error's code where a request is refused."""
    flagged: bool = False
    """Metric and header say that it is so."""
    unless: str | None = None
    """What the operator may have decided otherwise."""
    scope: str | None = None
    """The part of the work that is meant, where it is not all of it."""


_NORMAL: Final = Response(Action.NORMAL)
_CACHED_KEYS: Final = 600.0
_WARM_SECRETS: Final = 3600.0

OUTAGES: Mapping[Lost, Mapping[Concern, Response]] = MappingProxyType(
    {
        Lost.REDIS: {
            Concern.AUTH: Response(Action.AUTHORITY),
            Concern.BUDGET: Response(Action.AUTHORITY),
            Concern.RATE_LIMIT: Response(Action.LOCAL_SHARE, flagged=True),
            Concern.CACHE: Response(Action.OFF),
        },
        Lost.DATABASE: {
            Concern.AUTH: Response(Action.CACHED, _CACHED_KEYS, Action.DENY, code="auth_backend_unavailable"),
            Concern.BUDGET: Response(Action.LEASED, then=Action.DENY, code="budget_unavailable"),
            Concern.LEDGER: Response(Action.JOURNAL, then=Action.DENY, code="storage_unavailable"),
            Concern.TOOLS: Response(Action.INDEPENDENT),
        },
        Lost.BOTH: {
            Concern.AUTH: Response(Action.STATIC, then=Action.DENY, code="auth_backend_unavailable"),
            Concern.BUDGET: Response(Action.DENY, code="budget_unavailable"),
            Concern.RATE_LIMIT: Response(Action.LOCAL_SHARE, flagged=True),
            Concern.CACHE: Response(Action.OFF),
            Concern.LEDGER: Response(Action.JOURNAL, then=Action.DENY, code="storage_unavailable"),
            Concern.TOOLS: Response(Action.OFF),
        },
        Lost.DISK: {
            Concern.LEDGER: Response(Action.DENY, code="storage_unavailable"),
            Concern.TOOLS: Response(Action.OFF, scope="exec"),
        },
        Lost.SECRETS: {Concern.TOOLS: Response(Action.CACHED, _WARM_SECRETS, Action.DENY, code="secret_unavailable")},
        Lost.PRICE: {
            Concern.BUDGET: Response(Action.DENY, code="price_unknown", unless="the operator marked the model free")
        },
        Lost.SANDBOX: {Concern.TOOLS: Response(Action.OFF, code="sandbox_unavailable", scope="exec")},
        Lost.TOOL_DEFINITION: {
            Concern.TOOLS: Response(Action.DENY, code="tool_definition_changed", scope="the tool that changed")
        },
        Lost.TELEMETRY: {},
    }
)
"""By what is gone and whose work it is; what is not named goes on as normal."""


def when(lost: Lost, concern: Concern) -> Response:
    """What `concern` does while `lost` is gone."""
    return OUTAGES[lost].get(concern, _NORMAL)
