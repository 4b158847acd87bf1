"""The section `responses` as it is written: whose responses are kept, and how long."""

from pydantic import Field

from execution_platform.config.facts import Raw
from execution_platform.config.responses import ResponsesConfig


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


def resolve_responses(raw: RawResponses) -> ResponsesConfig:
    """The section at run time."""
    return ResponsesConfig(keep_for=frozenset(raw.keep_for), keep_hours=raw.keep_hours)
