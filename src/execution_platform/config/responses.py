"""The section `responses`: whose responses are kept for `previous_response_id`, and how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesConfig:
    """The same, resolved."""

    keep_for: frozenset[str] = frozenset()
    keep_hours: float = 720.0
