"""A package of somebody else's: one more provider on a known dialect."""

from execution_platform.providers.registry import ProviderSpec

SPEC = ProviderSpec(
    kind="acme",
    base_url="https://llm.acme.example/v1",
    key_env=("ACME_API_KEY",),
    default_model="acme-large",
)

RIVAL = ProviderSpec(kind="openai")
