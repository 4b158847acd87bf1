"""The configuration at run time: frozen, complete, every name looked up, secrets still references."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from execution_platform.config.mcp import McpConfig
from execution_platform.config.pricing import PriceOverride
from execution_platform.config.responses import ResponsesConfig
from execution_platform.config.runs import RunsConfig
from execution_platform.config.secret import SecretRef
from execution_platform.config.tools import ToolsConfig
from execution_platform.spi.loss import LossPolicy

Origin = Literal["file", "environment", "builtin"]
Strategy = Literal["priority", "weighted", "sticky", "least_latency", "lowest_cost"]
CONCURRENCY = 1000
"""Requests under way at a provider that sets no limit of its own."""
Hedge = bool | float
"""Whether a second target is asked before the first has failed: true after its usual slowest, a number after so many seconds."""
Durability = Literal["process", "disk"]
PermissionLevel = Literal["full", "write", "read_only", "none"]
BudgetPeriod = Literal["minute", "hourly", "daily", "monthly", "total"]
BudgetScope = Literal["gateway", "tenant", "team", "key", "persona", "run", "model"]
OnBreach = Literal["stop", "downgrade", "pause"]
AlertKind = Literal["webhook", "slack", "pagerduty", "email"]
PermissionMode = Literal["default", "acceptEdits", "plan", "bypassPermissions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds a provider may take."""

    connect: float = 3.0
    first_token: float = 20.0
    idle: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often the same target is tried; pauses are drawn below `base_seconds` doubled each time."""

    max_attempts: int = 3
    base_seconds: float = 1.0
    max_seconds: float = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """When a failing deployment is left alone."""

    failure_threshold: int = 5
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How a provider is looked at without a call."""

    interval_seconds: float
    path: str | None = None
    """Below the base URL; None for the listing of models."""
    timeout_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One provider. None means: whatever the kind's row in the registry says."""

    name: str
    kind: str
    base_url: str | None = None
    credential: SecretRef | None = None
    models: tuple[str, ...] = ()
    default_model: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: Retry = field(default_factory=Retry)
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    concurrency: int = CONCURRENCY
    """Most requests under way at a time."""
    probe: Probe | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    secret_headers: Mapping[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    """Headers whose values are references, resolved at use."""
    api_version: str | None = None
    deployments: Mapping[str, str] = field(default_factory=dict[str, str])
    region: str | None = None
    profiles: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    """Facts by model name or glob, in the order of the file; later ones win."""
    prices: Mapping[str, PriceOverride] = field(default_factory=dict[str, PriceOverride])
    free: bool = False
    needs_key: bool = True
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, str | int | float | bool])
    origin: Origin = "file"


@dataclass(frozen=True, slots=True)
class LogicalTarget:
    """One member of a logical model: the name of a target, not yet looked up."""

    name: str
    weight: int = 1
    priority: int = 0
    arm: str | None = None
    """Side of an experiment."""


@dataclass(frozen=True, slots=True)
class ShadowConfig:
    """Where copies of a logical model's requests go, and of how many: the name of a target, not yet looked up."""

    name: str
    percent: float


@dataclass(frozen=True, slots=True)
class LogicalModel:
    """A model name of the operator's own in front of real ones."""

    name: str
    targets: tuple[LogicalTarget, ...]
    strategy: Strategy = "priority"
    hedge: Hedge = False
    continue_on_cut: bool | None = None
    """None: what the whole gateway does."""
    shadow: ShadowConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of tokens and money; None is no limit."""

    tokens_per_min: int | None = None
    tokens_per_run: int | None = None
    cost_per_min: Decimal | None = None
    hourly_usd: Decimal | None = None
    daily_usd: Decimal | None = None
    monthly_usd: Decimal | None = None
    alert_threshold: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What may pass in a minute; None is no limit. A burst is the whole limit unless set."""

    requests: int | None = None
    tokens: int | None = None
    burst: int | None = None
    token_burst: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingLimit:
    """One budget of the configuration."""

    scope: BudgetScope
    subject: str
    """Name within the scope; `*` for each; empty for the whole gateway."""
    period: BudgetPeriod
    usd: Decimal | None = None
    tokens: int | None = None
    persona: str | None = None
    """Only requests on this persona count, for limits of single runs."""
    alert_threshold: float = 0.8
    on_breach: OnBreach = "stop"
    downgrade_to: str | None = None
    time_zone: str = "UTC"
    origin: Origin = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChannel:
    """Where alerts are sent."""

    name: str
    kind: AlertKind
    url: SecretRef | None = None
    secret: SecretRef | None = None
    sender: str | None = None
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What may be spent, and who is told."""

    time_zone: str = "UTC"
    assume_output_tokens: int = 8192
    pause_seconds: float = 300.0
    limits: tuple[SpendingLimit, ...] = ()
    alerts: tuple[AlertChannel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonaConfig:
    """One persona with everything it inherits."""

    name: str
    description: str | None = None
    chain: tuple[str, ...] = ()
    """Names of targets in order of preference; empty means the default provider."""
    requires: Mapping[str, object] = field(default_factory=dict[str, object])
    system: str | None = None
    tools: tuple[str, ...] | None = None
    """None: not said; empty: no tools."""
    permissions: Mapping[str, PermissionLevel] = field(default_factory=dict[str, PermissionLevel])
    permission_mode: PermissionMode = "default"
    budget: Budget | None = None
    rate_limit: RateLimit | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    aliases: tuple[str, ...] = ()
    hedge: Hedge = False
    continue_on_cut: bool | None = None
    """None: what the whole gateway does."""
    origin: Origin = "file"

    @property
    def changes_request(self) -> bool:
        """Whether requests are altered by the persona, so that their bytes cannot pass through as they are."""
        return bool(self.system) or self.temperature is not None or self.max_tokens is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKeyConfig:
    """A gateway key from configuration: the key by reference, or its SHA-256. None means all."""

    name: str
    key: SecretRef | None = None
    sha256: str | None = None
    tenant: str = "default"
    team: str = ""
    budget: Budget | None = None
    personas: frozenset[str] | None = None
    models: frozenset[str] | None = None
    loss_policy: LossPolicy | None = None
    admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of what callers may send."""

    body: int = 20 * 1024 * 1024
    depth: int = 64
    attempts: int = 3
    in_flight: int = 2000
    streams: int = 1500
    lag_seconds: float = 0.03
    connections_per_peer: int | None = None
    header_block: int = 32 * 1024
    url_length: int = 8 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 60.0
    idle_seconds: float = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainLimits:
    """How a process ends: seconds since the first signal, and the seconds a second one leaves."""

    accept_seconds: float = 5.0
    soft_seconds: float = 120.0
    hard_seconds: float = 300.0
    fast_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Rate limits by scope and name; `*` is every name without one of its own."""

    replicas: int = 1
    """Processes that share the limits where Redis cannot tell."""
    keys: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    tenants: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    personas: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    providers: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    models: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConfig:
    """How the books are kept."""

    durability: Durability = "process"
    journal_cap: int = 256 * 1024 * 1024
    lost_after: float = 600.0
    """Seconds without a sign of life after which a worker on another machine is gone for good."""
    log_requests: bool = True
    request_days: int = 30
    content_of: tuple[str, ...] = ()
    """Tenants whose prompts and answers are kept in the request log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyConfig:
    """Requests that come with an idempotency key."""

    keep_hours: float = 24.0
    wait_seconds: float = 60.0
    answer: int = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcConfig:
    """The provider people log in at, and who they are here."""

    issuer: str
    client_id: str
    client_secret: SecretRef | None
    redirect_url: str
    algorithms: tuple[str, ...]
    scopes: tuple[str, ...]
    role_claim: str | None
    roles: Mapping[str, str]
    default_role: str | None
    tenant_claim: str | None
    tenants: Mapping[str, str]
    tenant: str | None
    session_hours: float

    @property
    def origin(self) -> str:
        """The gateway as browsers name it."""
        return self.redirect_url.removesuffix("/login/callback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """One version of the configuration."""

    providers: Mapping[str, ProviderConfig]
    personas: Mapping[str, PersonaConfig]
    persona_aliases: Mapping[str, str]
    models: Mapping[str, LogicalModel]
    aliases: Mapping[str, str]
    """Other names for models, each to the name it stands for."""
    keys: tuple[GatewayKeyConfig, ...] = ()
    limits: Limits = field(default_factory=Limits)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    idempotency: IdempotencyConfig = field(default_factory=IdempotencyConfig)
    drain: DrainLimits = field(default_factory=DrainLimits)
    oidc: OidcConfig | None = None
    """Login of people; None without."""
    tools: ToolsConfig = field(default_factory=ToolsConfig)
    mcp: McpConfig = field(default_factory=McpConfig)
    responses: ResponsesConfig = field(default_factory=ResponsesConfig)
    runs: RunsConfig = field(default_factory=RunsConfig)
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `x-forwarded-for` is believed."""
    rate_limits: RateLimits = field(default_factory=RateLimits)
    spending: Spending = field(default_factory=Spending)
    loss_policy: LossPolicy = "default"
    continue_on_cut: bool = False
    """Plain text that was cut goes on from another target."""
    default_provider: str | None = None
    """A provider's name; None means `auto`: the first that is available."""
    development: bool = False
    """Providers without a key are simulated."""
    version_id: str = ""
    """Names the content: equal configurations have equal ids, secrets left out."""

    def default_model(self, provider: str) -> str | None:
        """The model used where only the provider is named; None when it is not configured or none is known."""
        given = self.providers.get(provider)
        return None if given is None else given.default_model or next(iter(given.models), None)
