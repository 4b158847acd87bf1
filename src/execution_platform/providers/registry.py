"""Every kind of provider as one row of data, and the entry point by which others add theirs.

A vendor that speaks a known dialect is a row and nothing else. A row names a `build` function only
where the provider has behaviour of its own.

Third parties publish a `ProviderSpec` under the entry-point group `execution_platform.providers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Literal

from execution_platform.exceptions import ConfigError

AuthStyle = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "none"]
ENTRY_POINTS = "execution_platform.providers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """Facts of one kind of provider. Configuration may override base URL, models and headers."""

    kind: str
    dialect: str = "openai_chat"
    also: tuple[str, ...] = ()
    """Further dialects it speaks below the same base URL: clients of those pass through."""
    base_url: str | None = None
    """Root below which the dialect's paths are; None when only the configuration can know it."""
    models_path: str = "/models"
    """Below the base URL; answers with the models that can be had."""
    auth: AuthStyle = "bearer"
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    default_model: str | None = None
    models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    forward: tuple[str, ...] = ()
    """Client headers that are passed on when the client speaks the same dialect."""
    needs_key: bool = True
    local: bool = False
    """Runs on a machine of ours: tokens cost nothing."""
    build: str | None = None
    """`module:function` for a provider with behaviour of its own."""


_OPENAI_MODELS = (
    "gpt-5.1",
    "gpt-5.1-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-small",
)
_CLAUDE_MODELS = (
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
)
_GEMINI_MODELS = (
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-3.8-flash",
    "gemini-4-argon",
    "gemini-embedding-001",
    "gemini-embedding-2",
)

_ROWS = (
    ProviderSpec(
        kind="openai",
        also=("openai_responses",),
        base_url="https://api.openai.com/v1",
        key_env=("EP_OPENAI_API_KEY", "OPENAI_API_KEY"),
        base_url_env=("EP_OPENAI_BASE_URL", "OPENAI_BASE_URL"),
        default_model="gpt-4o",
        models=_OPENAI_MODELS,
    ),
    ProviderSpec(
        kind="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com",
        models_path="/v1/models?limit=1000",
        auth="x-api-key",
        key_env=("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"),
        base_url_env=("EP_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL"),
        default_model="claude-sonnet-4-5",
        models=_CLAUDE_MODELS,
        headers={"anthropic-version": "2023-06-01"},
        forward=("anthropic-version", "anthropic-beta"),
    ),
    ProviderSpec(
        kind="claude_agent",
        dialect="",
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        key_env=("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"),
        base_url_env=("EP_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL"),
        default_model="claude-sonnet-4-5",
        models=_CLAUDE_MODELS,
        build="execution_platform.providers.claude_agent:build",
    ),
    ProviderSpec(
        kind="gemini",
        dialect="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        models_path="/models?pageSize=1000",
        auth="x-goog-api-key",
        key_env=("EP_GEMINI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
        base_url_env=("EP_GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
        default_model="gemini-2.5-flash",
        models=_GEMINI_MODELS,
    ),
    ProviderSpec(
        kind="azure_openai",
        auth="api-key",
        key_env=("AZURE_OPENAI_API_KEY",),
        base_url_env=("AZURE_OPENAI_ENDPOINT",),
        build="execution_platform.providers.azure_openai:build",
    ),
    ProviderSpec(kind="ollama", base_url="http://127.0.0.1:11434/v1", needs_key=False, local=True),
    ProviderSpec(kind="vllm", base_url="http://127.0.0.1:8000/v1", needs_key=False, local=True),
    ProviderSpec(
        kind="llama_cpp",
        also=("openai_responses",),
        base_url="http://127.0.0.1:8080/v1",
        needs_key=False,
        local=True,
    ),
    ProviderSpec(kind="openai_compatible", needs_key=False),
    ProviderSpec(
        kind="groq",
        base_url="https://api.groq.com/openai/v1",
        key_env=("GROQ_API_KEY",),
        default_model="llama-3.3-70b-versatile",
    ),
    ProviderSpec(
        kind="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_env=("OPENROUTER_API_KEY",),
        default_model="openrouter/auto",
    ),
    ProviderSpec(
        kind="deepseek",
        base_url="https://api.deepseek.com/v1",
        key_env=("DEEPSEEK_API_KEY",),
        default_model="deepseek-chat",
        models=("deepseek-chat", "deepseek-reasoner"),
    ),
    ProviderSpec(
        kind="mistral",
        base_url="https://api.mistral.ai/v1",
        key_env=("MISTRAL_API_KEY",),
        default_model="mistral-large-latest",
    ),
    ProviderSpec(
        kind="together",
        base_url="https://api.together.xyz/v1",
        key_env=("TOGETHER_API_KEY",),
        default_model="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    ProviderSpec(
        kind="xai",
        base_url="https://api.x.ai/v1",
        key_env=("XAI_API_KEY",),
        default_model="grok-4",
    ),
    ProviderSpec(
        kind="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_env=("FIREWORKS_API_KEY",),
        default_model="accounts/fireworks/models/gpt-oss-120b",
    ),
    ProviderSpec(
        kind="embedded",
        needs_key=False,
        local=True,
        default_model="smollm2-135m-instruct",
        models=("smollm2-135m-instruct", "multilingual-e5-small"),
        build="execution_platform.providers.embedded:build",
    ),
    ProviderSpec(
        kind="mock",
        dialect="",
        auth="none",
        needs_key=False,
        local=True,
        default_model="mock-1",
        models=("mock-1",),
        build="execution_platform.providers.mock:build",
    ),
)

_BUILT_IN: Mapping[str, ProviderSpec] = MappingProxyType({row.kind: row for row in _ROWS})


@cache
def specs() -> Mapping[str, ProviderSpec]:
    """All kinds by name: the rows above and those of installed packages, which may not replace one of ours.

    Raises `ConfigError` when an installed package publishes something that is no `ProviderSpec`.
    """
    from importlib.metadata import entry_points

    found = dict(_BUILT_IN)
    for entry in entry_points(group=ENTRY_POINTS):
        spec: object = entry.load()
        if not isinstance(spec, ProviderSpec):
            raise ConfigError(f"entry point {ENTRY_POINTS}: {entry.name} ({entry.value}) is not a ProviderSpec")
        if spec.kind in _BUILT_IN:
            raise ConfigError(
                f"entry point {ENTRY_POINTS}: {entry.name} takes the name of the built-in kind {spec.kind}"
            )
        found[spec.kind] = spec
    return MappingProxyType(found)


def load_build(reference: str) -> object:
    """The function a row's `build` names; imported only when a provider of that kind is used."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
