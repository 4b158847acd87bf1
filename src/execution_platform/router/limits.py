"""From the configuration to the limits the board keeps of every upstream."""

from execution_platform.config.values import ProviderConfig, Resolved
from execution_platform.resilience.board import UpstreamPolicy


def upstream_policies(config: Resolved) -> dict[str, UpstreamPolicy]:
    """The limits of every provider by name."""
    return {name: _policy(provider) for name, provider in config.providers.items()}


def _policy(given: ProviderConfig) -> UpstreamPolicy:
    credential = given.credential.source if given.credential is not None else ""
    return UpstreamPolicy(
        concurrency=given.concurrency,
        attempts=given.retry.max_attempts,
        base_seconds=given.retry.base_seconds,
        max_seconds=given.retry.max_seconds,
        failure_threshold=given.circuit_breaker.failure_threshold,
        open_seconds=given.circuit_breaker.timeout_seconds,
        identity=f"{given.kind} {given.base_url or ''} {given.region or ''} {credential}",
    )
