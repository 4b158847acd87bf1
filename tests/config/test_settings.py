from pathlib import Path

import pytest

from execution_platform.config.problems import ConfigProblems
from execution_platform.config.settings import Settings, read_environment


def test_the_defaults_are_the_published_ones():
    settings = Settings(environ={})
    assert (settings.host, settings.port, settings.provider, settings.timeout) == ("127.0.0.1", 8000, "auto", 300.0)
    assert settings.config is None
    assert settings.master_key is None
    assert not settings.development
    assert settings.cors_origins == ()


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("EP_CONFIG", "a.yaml", "config", Path("a.yaml")),
        ("EP_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("EP_PORT", "9000", "port", 9000),
        ("EP_DEFAULT_PROVIDER", "gemini", "provider", "gemini"),
        ("EP_PROVIDER", "gemini", "provider", "gemini"),
        ("EP_PROVIDER", "claude_agent_sdk", "provider", "claude_agent"),
        ("EP_PROVIDER", "claude", "provider", "anthropic"),
        ("EP_TIMEOUT", "12.5", "timeout", 12.5),
        ("EP_WORKSPACE_ROOT", "/w", "workspace_root", Path("/w")),
        ("EP_ENABLE_TRACING", "true", "enable_tracing", True),
        ("EP_RATE_LIMIT_PER_PERSONA", "5", "rate_limit_per_persona", 5),
        ("EP_TOKENS_BUDGET_PER_MINUTE", "7", "tokens_budget_per_minute", 7),
        ("EP_BUDGET_PER_MINUTE_USD", "0.5", "budget_per_minute_usd", 0.5),
        ("EP_PERSONA_PROVIDER_MAP_PATH", "m.json", "persona_provider_map_path", Path("m.json")),
        ("CORS_ALLOWED_ORIGINS", "https://a, https://b", "cors_origins", ("https://a", "https://b")),
        ("EP_PROVIDER", "mock", "development", True),
    ],
)
def test_each_variable_is_read(variable, text, field, value):
    assert getattr(Settings(environ={variable: text}), field) == value


def test_the_first_of_two_names_wins_and_an_empty_one_counts_as_unset():
    assert Settings(environ={"EP_DEFAULT_PROVIDER": "a", "EP_PROVIDER": "b"}).provider == "a"
    assert Settings(environ={"EP_DEFAULT_PROVIDER": "", "EP_PROVIDER": "b"}).provider == "b"
    settings = Settings(environ={"B": "x", "A": ""})
    assert settings.first(("A", "B")) == "B"
    assert settings.first(("C",)) is None


@pytest.mark.parametrize("variable", ["EP_MASTER_KEY", "EP_DATABASE_URL", "EP_REDIS_URL"])
def test_secret_settings_do_not_show(variable):
    settings = Settings(environ={variable: "canary-value", "OPENAI_API_KEY": "canary-value"})
    assert "canary" not in repr(settings)
    assert "canary" not in str(settings.model_dump())
    assert "canary" not in settings.model_dump_json()


def test_a_wrong_value_names_the_variable_and_does_not_show_the_value():
    with pytest.raises(ConfigProblems, match="EP_PORT") as caught:
        Settings(environ={"EP_PORT": "canary"})
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_dot_env_file_lies_beneath_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("EP_PORT=1111\nEP_HOST=10.0.0.1\nFROM_FILE=yes\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_PORT", "2222")
    monkeypatch.delenv("EP_HOST", raising=False)
    settings = Settings()
    assert (settings.port, settings.host) == (2222, "10.0.0.1")
    assert settings.environ["FROM_FILE"] == "yes"
    assert read_environment(tmp_path / "missing")["EP_PORT"] == "2222"


def test_a_given_environment_is_all_that_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EP_PORT", "2222")
    assert Settings(environ={}).port == 8000
    assert Settings({"EP_PORT": "1"}).port == 1
    assert Settings(environ={"EP_PORT": "1"}, port=3).port == 3


def test_the_environment_of_settings_cannot_be_changed():
    with pytest.raises(TypeError):
        Settings(environ={}).environ["A"] = "b"  # type: ignore[index]
