"""The section `responses`: whose responses are kept for `previous_response_id`, and how long."""

from dataclasses import dataclass

from pydantic import Field

from execution_platform.config.facts import Raw


class RawResponses(Raw):
    """Responses that are kept, so that a later request continues them by `previous_response_id`."""

    keep_for: list[str] = Field(
        default_factory=list[str],
        description="Tenants whose responses are kept, * for all. Those of tenants that store content (ledger.content_of) are in any case.",
    )
    keep_hours: float = Field(
        default=720,
        gt=0,
        description="How long they are kept; never longer than the request log of their tenant.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesConfig:
    """The same, resolved."""

    keep_for: frozenset[str] = frozenset()
    keep_hours: float = 720.0


def resolve_responses(raw: RawResponses) -> ResponsesConfig:
    """The section at run time."""
    return ResponsesConfig(keep_for=frozenset(raw.keep_for), keep_hours=raw.keep_hours)
