"""The configuration file as it is written: every section, with the sentence that its JSON Schema shows."""

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from execution_platform.config.facts import Raw, RawProfile, RawRequires, requirements
from execution_platform.config.oidc import RawOidc
from execution_platform.config.secret import SecretRef
from execution_platform.config.spending import RawBudget, RawSpending
from execution_platform.config.units import Seconds, Size
from execution_platform.config.written.mcp import RawMcp
from execution_platform.config.written.pricing import RawPrice
from execution_platform.config.written.responses import RawResponses
from execution_platform.config.written.runs import RawRuns
from execution_platform.config.written.tools import RawTools

LossPolicyName = Literal["strict", "default", "lenient"]
Strategy = Literal["priority", "weighted", "sticky", "least_latency", "lowest_cost"]
Durability = Literal["process", "disk"]
PermissionLevel = Literal["full", "write", "read_only", "none"]
PermissionMode = Literal["default", "acceptEdits", "plan", "bypassPermissions"]


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("must be an address or a network such as 10.0.0.0/8") from None


Network = Annotated[str, AfterValidator(_network)]
Names = Annotated[
    list[str],
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Hedge = bool | Seconds
_HEDGE = (
    "Ask a second target when the first has no content yet: after so many seconds, or if true when it is slower than "
    "19 of its last 20 answers; off unless set."
)
_CONTINUE = "Let another target go on where a stream of plain text was cut; what the whole gateway does unless set."
Requires = Annotated[
    RawRequires,
    BeforeValidator(requirements),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": ["string", "object"]}},
                {"type": "object", "additionalProperties": {"type": ["boolean", "integer", "string"]}},
            ]
        }
    ),
]


class RawTimeouts(Raw):
    """Seconds a provider may take."""

    connect: Seconds | None = Field(default=None, description="Seconds until the connection stands; 3 unless set.")
    first_token: Seconds | None = Field(
        default=None, description="Seconds until the first byte of the answer; 20 unless set."
    )
    idle: Seconds | None = Field(default=None, description="Seconds of silence within an answer; 60 unless set.")
    total: Seconds | None = Field(default=None, description="Seconds for the whole answer; 600 unless set.")


class RawRetry(Raw):
    """How often a provider is tried again before the next one is."""

    max_attempts: int | None = Field(
        default=None,
        ge=1,
        le=5,
        description="Tries of one request at one of its models, the first included; 3 unless set.",
    )
    base_seconds: Seconds | None = Field(
        default=None, description="Upper bound of the first pause, doubled each time; 1 unless set."
    )
    max_seconds: Seconds | None = Field(default=None, description="Upper bound of any pause; 16 unless set.")


class RawBreaker(Raw):
    """When a failing provider is left alone."""

    failure_threshold: int | None = Field(
        default=None, ge=1, description="Failures within 30 seconds that open the breaker; 5 unless set."
    )
    timeout_seconds: Seconds | None = Field(
        default=None, description="Most seconds until one try is let through again; 60 unless set."
    )


class RawProbe(Raw):
    """A look at a provider now and then, whether or not anybody calls it."""

    interval_seconds: float = Field(ge=1, description="Seconds between two looks, give or take a fifth.")
    path: str | None = Field(
        default=None,
        pattern=r"^/",
        description="Path below base_url that answers 2xx in health; the listing of models unless set.",
    )
    timeout_seconds: Seconds = Field(default=5, description="Seconds a look may take.")


class RawProvider(Raw):
    """One provider: an address, a credential and what is known of its models."""

    kind: str | None = Field(default=None, description="What it speaks; the provider's own name unless set.")
    base_url: str | None = Field(
        default=None, pattern=r"^https?://", description="Root of its API; the kind's usual address unless set."
    )
    api_key: SecretRef | None = Field(
        default=None, description="Credential: ${ENV}, file:///path, aws-sm://name#field, vault://mount/path#field."
    )
    models: list[str] | None = Field(default=None, description="Models that may be named without the provider.")
    default_model: str | None = Field(default=None, description="Model used where only the provider is named.")
    timeouts: RawTimeouts = Field(default_factory=RawTimeouts, description="Time limits in seconds.")
    retry: RawRetry = Field(default_factory=RawRetry, description="Retry limits.")
    circuit_breaker: RawBreaker = Field(default_factory=RawBreaker, description="Circuit breaker limits.")
    concurrency: int | None = Field(default=None, ge=1, description="Requests under way at a time; 1000 unless set.")
    probe: RawProbe | None = Field(default=None, description="Active health probe; none unless set.")
    headers: dict[str, SecretRef] = Field(
        default_factory=dict, description="Headers sent with every request; values may refer to secrets."
    )
    api_version: str | None = Field(default=None, description="API version, where the provider's address carries one.")
    deployments: dict[str, str] = Field(default_factory=dict, description="Model name to deployment name (Azure).")
    region: str | None = Field(default=None, description="Region of the endpoint.")
    profiles: dict[str, RawProfile] = Field(
        default_factory=dict,
        description="Facts of models that override the catalogue; the key is a model name or a glob.",
    )
    prices: dict[str, RawPrice] = Field(
        default_factory=dict, description="Prices by model name; they override the price table."
    )
    free: bool = Field(default=False, description="Tokens of this provider cost nothing.")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Settings only this kind of provider understands."
    )


class RawTarget(Raw):
    """One member of a logical model."""

    model: str = Field(description="provider/model, or a provider for its default model.")
    weight: int = Field(default=1, ge=0, description="Share of the traffic under the strategies weighted and sticky.")
    priority: int = Field(default=0, description="Lower is tried earlier under the strategy priority.")
    arm: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{1,40}$",
        description="Side of an experiment the member belongs to, such as canary; its share is the weight of its members.",
    )


class RawShadow(Raw):
    """Copies of requests for another model, whose answers nobody sees."""

    model: str = Field(description="provider/model the copies go to.")
    percent: float = Field(gt=0, le=100, description="Share of the requests that are copied.")


class RawLogicalModel(Raw):
    """A model name of yours in front of one or more real ones."""

    targets: list[RawTarget] = Field(min_length=1, description="The real models.")
    strategy: Strategy = Field(
        default="priority", description="How the order of the targets is found for each request."
    )
    hedge: Hedge | None = Field(default=None, description=_HEDGE)
    continue_on_cut: bool | None = Field(default=None, description=_CONTINUE)
    shadow: RawShadow | None = Field(default=None, description="Copies for another model, to compare it unseen.")


class RawRateLimit(Raw):
    """How much may pass in a minute; in no 60 seconds more than this does."""

    requests: int | None = Field(default=None, ge=1, description="Requests per minute.")
    tokens: int | None = Field(default=None, ge=1, description="Tokens per minute, in and out.")
    burst: int | None = Field(
        default=None, ge=1, description="Requests that may come at once; the whole limit unless set."
    )
    token_burst: int | None = Field(
        default=None, ge=1, description="Tokens that may be asked for at once; the whole limit unless set."
    )


class RawRateLimits(Raw):
    """Rate limits by name; `*` gives every name without limits of its own the same ones."""

    replicas: int = Field(
        default=1, ge=1, description="Processes that share the limits; each takes its part where Redis cannot be asked."
    )
    keys: dict[str, RawRateLimit] = Field(default_factory=dict, description="By gateway key.")
    tenants: dict[str, RawRateLimit] = Field(default_factory=dict, description="By tenant.")
    personas: dict[str, RawRateLimit] = Field(default_factory=dict, description="By persona.")
    providers: dict[str, RawRateLimit] = Field(
        default_factory=dict, description="By provider; a chain moves on to its next target."
    )
    models: dict[str, RawRateLimit] = Field(
        default_factory=dict, description="By provider/model; a chain moves on to its next target."
    )


class RawPersona(Raw):
    """One persona: what it needs, what it prefers, what it may do."""

    description: str | None = Field(default=None, description="One sentence for people.")
    abstract: bool = Field(default=False, description="Only to be extended; cannot be called.")
    extends: str | None = Field(default=None, description="Persona whose settings are taken where this one has none.")
    prefer: Names | None = Field(
        default=None, description="Models in order of preference: provider, provider/model or a logical model."
    )
    provider: str | None = Field(default=None, description="First choice; with fallback the older spelling of prefer.")
    fallback: Names | None = Field(default=None, description="Further choices after provider, in order.")
    model: str | None = Field(default=None, description="Model of the first choice.")
    requires: Requires | None = Field(default=None, description="Capabilities every model of the chain must have.")
    system: str | None = Field(default=None, description="System prompt placed before the caller's own.")
    tools: list[str] | None = Field(default=None, description="Tools of the persona; an empty list means none.")
    permissions: dict[str, PermissionLevel] | None = Field(default=None, description="Permission level by tool.")
    permission_mode: PermissionMode | None = Field(default=None, description="How tool calls are approved.")
    budget: RawBudget | None = Field(default=None, description="Limits of tokens and money.")
    rate_limit: RawRateLimit | None = Field(default=None, description="How much may pass in a minute.")
    temperature: float | None = Field(default=None, ge=0, le=2, description="Used where the caller sets none.")
    max_tokens: int | None = Field(default=None, ge=1, description="Used where the caller sets none.")
    aliases: list[str] | None = Field(default=None, description="Other names of the persona.")
    hedge: Hedge | None = Field(default=None, description=_HEDGE)
    continue_on_cut: bool | None = Field(default=None, description=_CONTINUE)

    @model_validator(mode="after")
    def _one_spelling(self) -> "RawPersona":
        if self.prefer is not None and (self.provider is not None or self.fallback is not None):
            raise ValueError("has both prefer and provider/fallback; they say the same thing, keep prefer")
        return self


class RawKey(Raw):
    """A gateway key from configuration."""

    name: str = Field(description="Name of the key in logs and reports.")
    key: SecretRef | None = Field(default=None, description="The key, best as a reference such as ${TEAM_KEY}.")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key in hexadecimal, instead of the key."
    )
    tenant: str | None = Field(default=None, description="Tenant the key belongs to.")
    team: str | None = Field(default=None, description="Team within the tenant, for budgets and reports.")
    budget: RawBudget | None = Field(default=None, description="Limits of tokens and money of this key.")
    personas: list[str] | None = Field(default=None, description="Personas the key may use; all unless set.")
    models: list[str] | None = Field(default=None, description="Models the key may use; all unless set.")
    loss_policy: LossPolicyName | None = Field(default=None, description="What a translation may lose for this key.")
    admin: bool = Field(default=False, description="May use the management paths.")
    rate_limit: RawRateLimit | None = Field(default=None, description="How much may pass in a minute.")

    @model_validator(mode="after")
    def _one_secret(self) -> "RawKey":
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("needs exactly one of key and sha256")
        return self


class RawLimits(Raw):
    """Limits of what callers may send."""

    body: Size = Field(
        default=20 * 1024 * 1024, description="Largest request body, in bytes or as a size such as 20 MiB."
    )
    depth: int = Field(default=64, ge=1, le=512, description="Deepest nesting of a JSON body.")
    attempts: int = Field(default=3, ge=1, le=5, description="Most tries of one request over all targets.")
    in_flight: int = Field(
        default=2000, ge=1, description="Most requests that one process serves at a time; more are refused at once."
    )
    streams: int = Field(default=1500, ge=1, description="Most streamed answers among them.")
    lag_seconds: Seconds = Field(
        default=0.03, description="Delay of the event loop from which fewer requests are admitted."
    )
    connections_per_peer: int | None = Field(
        default=None, ge=1, description="Most connections from one address; trusted proxies are exempt."
    )
    header_block: Size = Field(default=32 * 1024, description="Largest block of request headers.")
    url_length: Size = Field(default=8 * 1024, description="Longest request target.")
    head_seconds: Seconds = Field(
        default=10, description="Seconds from the first byte of a request to its last header."
    )
    body_seconds: Seconds = Field(default=30, description="Seconds from the last header to the last byte of the body.")
    write_seconds: Seconds = Field(default=60, description="Seconds after which a client that reads nothing is cut.")
    idle_seconds: Seconds = Field(default=75, description="Seconds a connection is kept between two requests.")


class RawDrain(Raw):
    """How a process ends after SIGTERM or SIGINT."""

    accept_seconds: Annotated[float, Field(ge=0)] = Field(
        default=5, description="Seconds in which new connections are still accepted, until load balancers know."
    )
    soft_seconds: Seconds = Field(
        default=120, description="Seconds after which work that can be taken up elsewhere is put down."
    )
    hard_seconds: Seconds = Field(
        default=300, description="Seconds after which what still runs is ended with an error."
    )
    fast_seconds: Seconds = Field(default=5, description="Seconds left after a second signal.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.accept_seconds <= self.soft_seconds <= self.hard_seconds:
            raise ValueError("accept_seconds, soft_seconds and hard_seconds must not decrease in this order")
        return self


class RawLedger(Raw):
    """How the books are kept; read when the gateway starts."""

    durability: Durability = Field(
        default="process",
        description="What a recorded try survives before it leaves: the end of the process, or of the machine (disk).",
    )
    journal_cap: Size = Field(
        default=256 * 1024 * 1024,
        description="Most that one worker's journal may hold while the database is away; then new calls get 503.",
    )
    lost_after: Seconds = Field(
        default=600,
        description="Seconds without a sign of life after which another machine's worker is gone for good, and what it had "
        "open is billed by estimate. On PostgreSQL only.",
    )
    log_requests: bool = Field(default=True, description="Keep a log of requests, without their content.")
    request_days: int = Field(default=30, ge=1, description="Days after which the request log forgets.")
    content_of: Names = Field(
        default_factory=list[str],
        description="Tenants whose prompts and answers the request log keeps, redacted; none unless set.",
    )


class RawIdempotency(Raw):
    """Requests that come with the header Idempotency-Key."""

    keep_hours: float = Field(default=24.0, gt=0, description="How long an answer can be asked for again.")
    wait_seconds: float = Field(
        default=60.0, ge=0, description="Longest that a repetition waits for the first request; then it gets 409."
    )
    answer: Size = Field(
        default=1024 * 1024,
        description="Largest answer that is kept; a repetition of a request with a larger one gets 409.",
    )


class RawConfig(Raw):
    """The whole file."""

    version: Literal[1] = Field(default=1, description="Version of this format.")
    default_provider: str | None = Field(
        default=None, description="Provider of requests that name none; auto picks by available keys."
    )
    loss_policy: LossPolicyName = Field(default="default", description="What a translation between dialects may lose.")
    keys: list[RawKey] = Field(default_factory=list[RawKey], description="Gateway keys.")
    continue_on_cut: bool = Field(
        default=False, description="Let another target go on where a stream of plain text was cut."
    )
    limits: RawLimits = Field(default_factory=RawLimits, description="Limits of what callers may send.")
    ledger: RawLedger = Field(default_factory=RawLedger, description="How the books are kept.")
    idempotency: RawIdempotency = Field(
        default_factory=RawIdempotency, description="Requests that are carried out once, however often they come."
    )
    drain: RawDrain = Field(default_factory=RawDrain, description="The end of a process.")
    oidc: RawOidc | None = Field(default=None, description="Login of people.")
    trusted_proxies: list[Network] = Field(
        default_factory=list[str],
        description="Addresses or networks (10.0.0.0/8) of proxies whose x-forwarded-for is believed.",
    )
    rate_limits: RawRateLimits = Field(default_factory=RawRateLimits, description="Requests and tokens per minute.")
    budgets: RawSpending = Field(default_factory=RawSpending, description="What may be spent, and who is told.")
    timeouts: RawTimeouts = Field(default_factory=RawTimeouts, description="Time limits of providers that set none.")
    retry: RawRetry = Field(default_factory=RawRetry, description="Retry limits of providers that set none.")
    circuit_breaker: RawBreaker = Field(
        default_factory=RawBreaker, description="Breaker limits of providers that set none."
    )
    tools: RawTools = Field(default_factory=RawTools, description="The platform's own tools.")
    mcp: RawMcp = Field(default_factory=RawMcp, description="The Model Context Protocol.")
    responses: RawResponses = Field(
        default_factory=RawResponses, description="Responses that are kept for the requests after them."
    )
    runs: RawRuns = Field(default_factory=RawRuns, description="Agent runs.")
    providers: dict[str, RawProvider] = Field(default_factory=dict, description="Providers by name.")
    models: dict[str, RawLogicalModel] = Field(default_factory=dict, description="Logical models by name.")
    aliases: dict[str, str] = Field(default_factory=dict, description="Other names for models.")
    personas: dict[str, RawPersona] = Field(default_factory=dict, description="Personas by name.")
    persona_aliases: dict[str, str] = Field(default_factory=dict, description="Other names for personas.")


def config_schema() -> dict[str, object]:
    """The published JSON Schema of the file (draft 2020-12)."""
    schema: dict[str, object] = RawConfig.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:execution-platform:schema:platform:1",
        **schema,
        "title": "platform.yaml",
        "description": "Configuration of the Execution Platform.",
    }
