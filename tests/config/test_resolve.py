from dataclasses import FrozenInstanceError, dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.config.files import parse_config
from execution_platform.config.known import canonical_provider, choose_default, local_candidates
from execution_platform.config.problems import ConfigProblems
from execution_platform.config.resolve import Resolved, is_live, live_providers, resolve, version_id
from execution_platform.config.secret import resolve_secret
from execution_platform.config.settings import Settings

CANARY = "sk-canary-77"


@dataclass(frozen=True)
class Row:
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    default_model: str | None = None
    models: tuple[str, ...] = ()
    needs_key: bool = True
    local: bool = False


KINDS = {
    "openai": Row(
        key_env=("EP_OPENAI_API_KEY", "OPENAI_API_KEY"), default_model="gpt-4o", models=("gpt-4o", "gpt-4o-mini")
    ),
    "anthropic": Row(key_env=("ANTHROPIC_API_KEY",), default_model="claude-sonnet-4-5", models=("claude-sonnet-4-5",)),
    "gemini": Row(key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"), default_model="gemini-2.5-flash"),
    "groq": Row(key_env=("GROQ_API_KEY",), default_model="llama-3.3-70b-versatile"),
    "llama_cpp": Row(needs_key=False, local=True),
    "openai_compatible": Row(needs_key=False),
    "embedded": Row(needs_key=False, local=True, default_model="smollm2"),
    "mock": Row(needs_key=False, local=True, default_model="mock-1"),
}


def config(text: str = "", environ: dict[str, str] | None = None) -> Resolved:
    return resolve(parse_config(text), Settings(environ=environ or {}), KINDS)


def refused(text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigProblems) as caught:
        config(text, environ)
    return str(caught.value)


def test_without_a_file_every_kind_is_a_provider_except_those_without_an_address():
    found = config().providers
    assert list(found) == [kind for kind in KINDS if kind != "openai_compatible"]
    assert found["openai"].origin == "builtin"
    assert found["openai"].credential is None
    assert found["embedded"].origin == "environment"


@pytest.mark.parametrize(
    ("environ", "provider"),
    [
        ({"OPENAI_API_KEY": CANARY}, "openai"),
        ({"EP_OPENAI_API_KEY": CANARY}, "openai"),
        ({"EP_ANTHROPIC_API_KEY": CANARY}, "anthropic"),
        ({"GOOGLE_API_KEY": CANARY}, "gemini"),
        ({"GROQ_API_KEY": CANARY}, "groq"),
    ],
)
def test_a_key_in_the_environment_makes_its_provider_live(environ, provider):
    found = config("", environ).providers[provider]
    assert found.origin == "environment"
    assert found.credential is not None
    assert resolve_secret(found.credential, environ).reveal() == CANARY
    assert is_live(found, environ)
    assert CANARY not in repr(found)


def test_the_platforms_own_name_of_a_key_wins():
    environ = {"OPENAI_API_KEY": "vendor", "EP_OPENAI_API_KEY": "own"}
    credential = config("", environ).providers["openai"].credential
    assert credential is not None
    assert resolve_secret(credential, environ).reveal() == "own"


def test_base_url_and_model_come_from_the_environment_unless_the_file_says_them():
    environ = {"EP_OPENAI_BASE_URL": "http://env/v1", "EP_OPENAI_MODEL": "env-model", "ANTHROPIC_BASE_URL": "http://a"}
    found = config("", environ).providers
    assert (found["openai"].base_url, found["openai"].default_model) == ("http://env/v1", "env-model")
    assert found["anthropic"].base_url == "http://a"
    found = config("providers: {openai: {base_url: 'http://file/v1', default_model: file-model}}", environ).providers
    assert (found["openai"].base_url, found["openai"].default_model) == ("http://file/v1", "file-model")


def test_a_file_provider_is_resolved_in_full():
    text = """
timeouts: {idle: 9}
retry: {base_seconds: 2}
providers:
  local: {kind: llama_cpp, base_url: "http://127.0.0.1:8080/v1", timeouts: {connect: 1}, retry: {max_attempts: 5}, models: [a, b]}
  mine:
    kind: openai
    api_key: "${MINE}"
    headers: {x-plain: v, x-secret: "${HEADER}"}
    circuit_breaker: {failure_threshold: 2}
    api_version: 2026-10-21
    deployments: {gpt-4o: d}
    region: eu
    profiles: {"gpt-*": {vision: true, context_window: 8192, url_media: [image], effort_levels: [low]}}
    prices: {gpt-4o: {input: 1.1, output: 2}}
    options: {a: 1}
"""
    found = config(text, {"MINE": CANARY}).providers
    local, mine = found["local"], found["mine"]
    assert (local.timeouts.connect, local.timeouts.idle, local.timeouts.total) == (1.0, 9.0, 600.0)
    assert (local.retry.max_attempts, local.retry.base_seconds, local.retry.max_seconds) == (5, 2.0, 16.0)
    assert (local.models, local.default_model, local.free, local.needs_key) == (("a", "b"), "a", True, False)
    assert mine.headers == {"x-plain": "v"}
    assert mine.secret_headers["x-secret"].source == "${HEADER}"
    assert (mine.circuit_breaker.failure_threshold, mine.circuit_breaker.timeout_seconds) == (2, 60.0)
    assert (mine.api_version, mine.region, mine.deployments["gpt-4o"], mine.options["a"]) == (
        "2026-10-21",
        "eu",
        "d",
        1,
    )
    assert mine.profiles["gpt-*"]["url_media"] == frozenset({"image"})
    assert mine.profiles["gpt-*"]["effort_levels"] == ("low",)
    assert mine.prices["gpt-4o"].rates.input == Decimal("1.1")
    assert mine.models == ("gpt-4o", "gpt-4o-mini")


def test_names_without_a_registry_are_enough():
    found = resolve(
        parse_config(""), Settings(environ={"OPENAI_API_KEY": "x"}), ["openai", "anthropic", "gemini", "mock"]
    )
    assert list(found.providers) == ["openai", "anthropic", "gemini", "mock"]
    assert resolve(parse_config(""), Settings(environ={})).providers["ollama"].needs_key is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "providers: {x: {kind: opnai}}",
            "providers.x.kind: is opnai, which is no kind of provider. Did you mean openai?",
        ),
        (
            "providers: {opnai: {}}",
            "providers.opnai.kind: is missing, and the name is no kind of provider. Did you mean openai?",
        ),
        ("providers: {x: {kind: openai_compatible}}", "providers.x.base_url: is missing"),
        ("providers: {a/b: {kind: openai}}", "is no name for a provider"),
        ("providers: {persona: {kind: openai}}", "is no name for a provider"),
        (
            "default_provider: opnai",
            "default_provider: names the provider opnai, which does not exist. Did you mean openai?",
        ),
        ("personas: {p: {prefer: [opnai/gpt]}}", "personas.p.prefer.0: names the provider opnai"),
        ("personas: {p: {prefer: [openai, whatever]}}", "personas.p.prefer.1: whatever is no provider"),
        ("models: {m: {targets: [{model: opnai/x}]}}", "models.m.targets.0.model: names the provider opnai"),
        ("models: {m: {targets: [{model: n}]}, n: {targets: [{model: openai}]}}", "is the logical model n"),
        ("models: {m: {targets: [{model: openai, weight: 0}], strategy: weighted}}", "no target with a weight above 0"),
        ("models: {m: {targets: [{model: openai, weight: 0}], strategy: sticky}}", "no target with a weight above 0"),
        (
            "models: {m: {targets: [{model: openai, arm: a}, {model: anthropic}], strategy: weighted}}",
            "some targets have an arm and others have none",
        ),
        ("models: {m: {targets: [{model: openai, arm: a}], strategy: lowest_cost}}", "arms need a draw"),
        ("models: {m: {targets: [{model: openai}], shadow: {model: opnai/x, percent: 1}}}", "models.m.shadow.model"),
        ("models: {openai: {targets: [{model: openai}]}}", "models.openai: is the name of a provider"),
        (
            "models: {m: {targets: [{model: openai}]}}\naliases: {m: openai}",
            "aliases.m: is the name of a provider or a logical model",
        ),
        ("aliases: {x: nowhere}", "aliases.x: nowhere is no provider"),
        (
            "keys: [{name: a, key: x, personas: [architekt]}]",
            "keys.0.personas: unknown persona architekt. Did you mean architect?",
        ),
        ("keys: [{name: a, key: x}, {name: a, key: y}]", "keys.1.name: a is used twice"),
    ],
)
def test_names_that_lead_nowhere_are_told(text, said):
    assert said in refused(text)


def test_the_environments_default_goes_before_the_files_and_is_checked():
    assert config("default_provider: openai").default_provider == "openai"
    assert config("default_provider: claude").default_provider == "anthropic"
    assert config("default_provider: openai", {"EP_PROVIDER": "gemini"}).default_provider == "gemini"
    assert config("default_provider: auto").default_provider is None
    assert "EP_DEFAULT_PROVIDER: names the provider opnai" in refused("", {"EP_PROVIDER": "opnai"})


def test_development_mode_is_the_mock_as_default():
    found = config("", {"EP_PROVIDER": "mock"})
    assert found.development
    assert found.default_provider == "mock"


def test_keys_of_the_file_are_kept_as_references():
    found = config(
        "keys: [{name: a, key: '${K}', tenant: t, personas: [architect], admin: true, loss_policy: strict}, {name: b, sha256: '"
        + "0" * 64
        + "'}]"
    )
    first, second = found.keys
    assert (first.tenant, first.admin, first.loss_policy, first.personas) == (
        "t",
        True,
        "strict",
        frozenset({"architect"}),
    )
    assert first.key is not None
    assert first.key.source == "${K}"
    assert (second.tenant, second.sha256, second.personas, second.models) == ("default", "0" * 64, None, None)


def test_aliases_may_stand_for_personas_logical_models_and_bare_models():
    text = "models: {fast: {targets: [{model: openai}]}}\naliases: {a: fast, b: gpt-4o, c: persona/architect, d: a}"
    assert config(text).aliases["c"] == "persona/architect"


def test_a_resolved_configuration_cannot_be_changed():
    found = config()
    with pytest.raises(FrozenInstanceError):
        found.default_provider = "x"  # type: ignore[misc]


def test_the_default_model_of_a_provider_is_known():
    found = config("providers: {local: {kind: llama_cpp, models: [m]}}")
    assert found.default_model("openai") == "gpt-4o"
    assert found.default_model("local") == "m"
    assert found.default_model("llama_cpp") is None
    assert found.default_model("nowhere") is None


BASE = "providers: {openai: {api_key: '%s', headers: {x: '%s'}}}"


def test_the_version_names_the_content_and_not_the_secrets():
    one = config(BASE % ("sk-one", "v1"))
    assert len(one.version_id) == 12
    assert one.version_id == config(BASE % ("sk-one", "v1")).version_id == version_id(one)
    assert one.version_id == config(BASE % ("sk-two", "v2")).version_id
    assert one.version_id != config(BASE % ("${OTHER}", "v1")).version_id
    assert one.version_id != config(BASE % ("sk-one", "v1") + "\nloss_policy: strict").version_id


def test_the_version_does_not_depend_on_the_order_of_keys():
    a = config("aliases: {a: openai, b: openai}\nloss_policy: strict")
    b = config("loss_policy: strict\naliases: {b: openai, a: openai}")
    assert a.version_id == b.version_id


def test_no_view_of_the_resolved_values_shows_a_secret():
    found = config(
        f"keys: [{{name: k, key: {CANARY}}}]\nproviders: {{openai: {{api_key: {CANARY}, headers: {{x: {CANARY}}}}}}}"
    )
    assert CANARY not in repr(found)
    assert CANARY not in str(found)


def test_auto_may_choose_what_is_live():
    settings = Settings(environ={"ANTHROPIC_API_KEY": "x"})
    found = resolve(parse_config("providers: {mine: {kind: llama_cpp}}"), settings, KINDS)
    live = live_providers(found, settings)
    assert live == {"mine": "llama_cpp", "anthropic": "anthropic", "embedded": "embedded", "mock": "mock"}
    assert choose_default(live) == "anthropic"
    assert "llama_cpp" in live_providers(found, settings, local=["llama_cpp"])


ORDER = ["openai", "anthropic", "gemini", "claude_agent", "groq", "ollama", "vllm", "llama_cpp", "embedded", "mock"]


@given(st.sets(st.sampled_from(ORDER), min_size=1))
def test_auto_takes_the_first_of_the_published_order(available):
    assert choose_default(sorted(available)) == min(available, key=ORDER.index)


def test_auto_goes_by_kind_when_the_names_are_other():
    assert choose_default({"emb": "embedded", "my-claude": "anthropic"}) == "my-claude"
    assert choose_default({"my-openai": "openai", "openai": "openai"}) == "openai"
    assert choose_default({"box": "llama_cpp", "embedded": "embedded"}) == "box"
    assert choose_default([]) == "mock"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("10.0.0.5", "http://10.0.0.5:11434/v1"),
        ("10.0.0.5:99", "http://10.0.0.5:99/v1"),
        ("http://box:1/", "http://box:1/v1"),
        ("https://box", "https://box:443/v1"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434/v1"),
        ("[::1]:5", "http://[::1]:5/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("http://box:1/v1", "http://box:1/v1"),
    ],
)
def test_ollamas_own_variable_moves_its_candidate(host, url):
    assert local_candidates({"OLLAMA_HOST": host})[0].base_url == url


def test_local_servers_are_looked_for_on_their_usual_ports():
    found = [(candidate.name, candidate.base_url) for candidate in local_candidates()]
    assert found == [
        ("ollama", "http://127.0.0.1:11434/v1"),
        ("vllm", "http://127.0.0.1:8001/v1"),
        ("vllm", "http://127.0.0.1:8000/v1"),
        ("llama_cpp", "http://127.0.0.1:8080/v1"),
    ]


def test_older_names_of_providers_are_known():
    assert canonical_provider("claude_agent_sdk") == "claude_agent"
    assert canonical_provider("claude") == "anthropic"
    assert canonical_provider("openai") == "openai"


def test_what_the_file_calls_by_an_older_name_is_the_same_provider():
    found = config("providers: {claude: {base_url: 'http://x'}}").providers
    assert found["anthropic"].base_url == "http://x"
    assert found["anthropic"].kind == "anthropic"
