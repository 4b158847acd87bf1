"""The environment: `EP_*`, the vendors' own names and `.env`, as one checked value.

Where two names exist the first wins, and the process environment wins over `.env`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from execution_platform.config.known import canonical_provider, known
from execution_platform.config.problems import ConfigProblems, Problem
from execution_platform.config.secret import Secret

ENV_FILE = ".env"


def read_environment(env_file: str | Path = ENV_FILE) -> dict[str, str]:
    """The process environment with `env_file` beneath it. Nothing is put into the process environment."""
    beneath = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    return {**beneath, **os.environ}


class _GivenEnvironment(EnvSettingsSource):
    """The environment as it was given, instead of the process's own."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls, case_sensitive=True, env_ignore_empty=True)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in self._environ.items() if value}

    def __call__(self) -> dict[str, Any]:
        return {**super().__call__(), "environ": dict(self._environ)}


def _names(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Settings of the process.

    `Settings()` reads the environment and `.env`; `Settings(environ={…})` reads only what is given.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, frozen=True, hide_input_in_errors=True)

    config: Path | None = Field(
        default=None, validation_alias=_names("EP_CONFIG"), description="Path of the configuration file."
    )
    config_watch: bool = Field(
        default=True,
        validation_alias=_names("EP_CONFIG_WATCH"),
        description="Reload when a file of the configuration changes.",
    )
    host: str = Field(
        default="127.0.0.1", validation_alias=_names("EP_HOST"), description="Address the gateway listens on."
    )
    port: int = Field(
        default=8000, ge=0, le=65535, validation_alias=_names("EP_PORT"), description="Port the gateway listens on."
    )
    provider: str = Field(
        default="auto",
        validation_alias=_names("EP_DEFAULT_PROVIDER", "EP_PROVIDER"),
        description="Provider of requests that name none: a name, or auto.",
    )
    timeout: float = Field(
        default=300.0, gt=0, validation_alias=_names("EP_TIMEOUT"), description="Seconds a request may take."
    )
    workspace_root: Path = Field(
        default=Path("workspace"),
        validation_alias=_names("EP_WORKSPACE_ROOT"),
        description="Folder of the journal and of the SQLite database.",
    )
    database_url: Secret | None = Field(
        default=None,
        validation_alias=_names("EP_DATABASE_URL"),
        description="Database; SQLite below the workspace unless set.",
    )
    redis_url: Secret | None = Field(
        default=None, validation_alias=_names("EP_REDIS_URL"), description="Redis shared by replicas."
    )
    master_key: Secret | None = Field(
        default=None, validation_alias=_names("EP_MASTER_KEY"), description="Gateway key with every right."
    )
    key_pepper: Secret | None = Field(
        default=None,
        validation_alias=_names("EP_KEY_PEPPER"),
        description="Secret under which issued keys are kept; derived from EP_MASTER_KEY, else made, unless set.",
    )
    enable_tracing: bool = Field(
        default=False, validation_alias=_names("EP_ENABLE_TRACING"), description="Export traces."
    )
    rate_limit_per_persona: int | None = Field(
        default=None,
        ge=1,
        validation_alias=_names("EP_RATE_LIMIT_PER_PERSONA"),
        description="Requests per minute of each persona.",
    )
    tokens_budget_per_minute: int | None = Field(
        default=None,
        ge=1,
        validation_alias=_names("EP_TOKENS_BUDGET_PER_MINUTE"),
        description="Tokens per minute of each persona.",
    )
    budget_per_minute_usd: float | None = Field(
        default=None,
        gt=0,
        validation_alias=_names("EP_BUDGET_PER_MINUTE_USD"),
        description="US dollars per minute of each persona.",
    )
    persona_provider_map_path: Path | None = Field(
        default=None,
        validation_alias=_names("EP_PERSONA_PROVIDER_MAP_PATH"),
        description="JSON file that maps personas to providers.",
    )
    cors_allowed_origins: str = Field(
        default="",
        validation_alias=_names("CORS_ALLOWED_ORIGINS"),
        description="Origins browsers may call from, comma-separated.",
    )
    environ: Mapping[str, str] = Field(
        default_factory=dict, repr=False, exclude=True, description="The environment itself."
    )

    def __init__(self, environ: Mapping[str, str] | None = None, **values: Any) -> None:
        """Raises `ConfigError` that names the variable at fault."""
        given: dict[str, Any] = values if environ is None else {**values, "environ": environ}
        try:
            super().__init__(**given)
        except ValidationError as error:
            problems = [
                Problem(str(item["loc"][0]), f"{item['msg'].rstrip('.')}.", "Correct the environment variable.")
                for item in error.errors(include_url=False, include_input=False)
            ]
        else:
            return
        raise ConfigProblems(problems)

    @field_validator("provider")
    @classmethod
    def _current_name(cls, name: str) -> str:
        return canonical_provider(name.strip())

    @field_validator("environ", mode="after")
    @classmethod
    def _sealed(cls, environ: Mapping[str, str]) -> Mapping[str, str]:
        return MappingProxyType(dict(environ))

    @property
    def development(self) -> bool:
        """Providers without a key are simulated, and every reply says so."""
        return self.provider == known().development

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """Origins browsers may call from."""
        return tuple(origin.strip() for origin in self.cors_allowed_origins.split(",") if origin.strip())

    def first(self, names: tuple[str, ...]) -> str | None:
        """The name of the first of `names` that is set in the environment."""
        return next((name for name in names if self.environ.get(name)), None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """One source for the environment, so that settings and secret references see the same."""
        given = cast("dict[str, Any]", getattr(init_settings, "init_kwargs", {}))
        environ: Mapping[str, str] | None = given.get("environ")
        return (init_settings, _GivenEnvironment(settings_cls, read_environment() if environ is None else environ))
