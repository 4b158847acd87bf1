"""Budgets and alerts as the file writes them."""

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.secret import SecretRef
from execution_platform.config.units import Money, Seconds

BudgetPeriod = Literal["minute", "hourly", "daily", "monthly", "total"]
OnBreach = Literal["stop", "downgrade", "pause"]
SUBJECTS = ("tenant", "team", "key", "persona", "run", "model")


class RawBudget(Raw):
    """Limits of tokens and money."""

    tokens_per_min: int | None = Field(default=None, ge=1, description="Tokens per minute.")
    tokens_per_run: int | None = Field(default=None, ge=1, description="Tokens of one run.")
    cost_per_min: Money | None = Field(default=None, description="US dollars per minute.")
    hourly_usd: Money | None = Field(default=None, description="US dollars per hour.")
    daily_usd: Money | None = Field(default=None, description="US dollars per day.")
    monthly_usd: Money | None = Field(default=None, description="US dollars per month.")
    alert_threshold: float | None = Field(
        default=None, gt=0, le=1, description="Share of a limit at which an alert is sent; 0.8 unless set."
    )


class RawLimit(Raw):
    """One budget: of a tenant, team, key, persona, run or model, or of the whole gateway when it names none of them."""

    tenant: str | None = Field(default=None, description="Tenant, or * for each.")
    team: str | None = Field(default=None, description="Team, or * for each.")
    key: str | None = Field(default=None, description="Name of a gateway key, or * for each.")
    persona: str | None = Field(default=None, description="Persona, or * for each.")
    run: Literal["*"] | None = Field(default=None, description="* for each run.")
    model: str | None = Field(default=None, description="provider/model, a model, a provider, or * for each model.")
    period: BudgetPeriod = Field(description="Calendar period after which the budget begins anew; total never does.")
    usd: Money | None = Field(default=None, description="US dollars.")
    tokens: int | None = Field(default=None, ge=1, description="Input and output tokens together.")
    alert_threshold: float = Field(default=0.8, gt=0, le=1, description="Share of a limit at which an alert is sent.")
    on_breach: OnBreach = Field(
        default="stop",
        description="What happens when a request does not fit: stop, downgrade or pause for an approval.",
    )
    downgrade_to: str | None = Field(
        default=None, description="Model or logical model that takes over under on_breach: downgrade."
    )
    time_zone: str | None = Field(default=None, description="Zone of days and months; budgets.time_zone unless set.")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return None if name is None else zone_name(name)

    @model_validator(mode="after")
    def _whole(self) -> "RawLimit":
        if sum(getattr(self, name) is not None for name in SUBJECTS) > 1:
            raise ValueError("names more than one subject; write one budget for each, all of them bind a request")
        if self.usd is None and self.tokens is None:
            raise ValueError("needs usd, tokens or both")
        if (self.on_breach == "downgrade") != (self.downgrade_to is not None):
            raise ValueError("downgrade_to and on_breach: downgrade go together")
        return self


class RawAlert(Raw):
    """Where alerts are sent."""

    kind: Literal["webhook", "slack", "pagerduty", "email"] = Field(description="Shape of the message.")
    name: str | None = Field(default=None, description="Name in logs and tables; the kind unless set.")
    url: SecretRef | None = Field(
        default=None, description="https address, or smtp://user:password@host:port for e-mail; best as a reference."
    )
    secret: SecretRef | None = Field(
        default=None, description="Signing secret of a webhook (whsec_…), or routing key of PagerDuty."
    )
    sender: str | None = Field(default=None, description="From address of e-mail.")
    to: list[str] = Field(default_factory=list, description="Addresses of e-mail.")

    @model_validator(mode="after")
    def _whole(self) -> "RawAlert":
        needs = {"webhook": ("url", "secret"), "slack": ("url",), "pagerduty": ("secret",), "email": ("url", "sender")}
        missing = [name for name in needs[self.kind] if getattr(self, name) is None]
        if self.kind == "email" and not self.to:
            missing.append("to")
        if missing:
            raise ValueError(f"a {self.kind} alert needs {' and '.join(missing)}")
        return self


class RawSpending(Raw):
    """What may be spent, and who is told."""

    time_zone: str = Field(default="UTC", description="Zone in which days and months of budgets begin.")
    assume_output_tokens: int = Field(
        default=8192,
        ge=1,
        description="Most output tokens that are held back for a request without a limit of its own.",
    )
    pause_seconds: Seconds = Field(default=300.0, description="How long a request waits for an approval.")
    limits: list[RawLimit] = Field(default_factory=list[RawLimit], description="Budgets.")
    alerts: list[RawAlert] = Field(default_factory=list[RawAlert], description="Where alerts are sent.")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        return zone_name(name)


def zone_name(name: str) -> str:
    """The name of a time zone that exists. Raises `ValueError`."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone of this machine; write a name such as UTC or Europe/Berlin") from None
    return name
