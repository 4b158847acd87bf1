"""What was spent: totals, summaries, forecast, anomalies, the chargeback report; and spending told by others.

A key sees its own tenant, an admin all of them. Money is US dollars, times are UTC.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from execution_platform.exceptions import PermissionDenied, UnprocessableRequest
from execution_platform.gateway.policy import Caller, GatewayState, caller
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.ledger.money import NANOS
from execution_platform.runtime.tracked import TrackedSpending, tracked_event

if TYPE_CHECKING:
    from execution_platform.ledger.reports import By, Line, Span

router = APIRouter(tags=["costs"])
Group = Literal["tenant", "team", "key", "persona", "provider", "model"]
PeriodName = Literal["hourly", "daily", "monthly"]
_SHOWN: tuple[Group, ...] = ("persona", "provider", "model", "tenant")
_FORECAST_DAYS = 7
_HOURS_UNTIL, _DAYS_UNTIL = 2, 100
"""Days of a range up to which its series is by hour, and by day."""
_PAGE = 100
_EXPORT = 10_000
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_ONE_PERIOD = timedelta(days=3660)


class Filter:
    """The part of the books a question is about, as far as the caller may see it."""

    def __init__(  # noqa: PLR0913 - each is a query parameter
        self,
        principal: Annotated[Principal, Depends(caller)],
        *,
        tenant: str | None = None,
        team: str | None = None,
        key: str | None = None,
        persona: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        start: Annotated[datetime | None, Query(alias="from")] = None,
        end: Annotated[datetime | None, Query(alias="to")] = None,
    ) -> None:
        """Raises `PermissionDenied` for another's tenant."""
        given = {"tenant": tenant, "team": team, "key": key, "persona": persona, "provider": provider, "model": model}
        if not principal.admin:
            if tenant not in {None, principal.tenant}:
                raise PermissionDenied("this key sees the spending of its own tenant only")
            given["tenant"] = principal.tenant
        self.only: dict[By, str] = {name: value for name, value in given.items() if value is not None}  # type: ignore[misc]
        self.wall = principal.only
        """The tenant whose rows the database shows, whatever it is asked for; None for all."""
        self.start, self.end = start and _utc(start), end and _utc(end)

    def span(self, start: datetime, end: datetime) -> "Span":
        """What was asked for, `start` and `end` where nothing was. Raises `UnprocessableRequest`."""
        from execution_platform.ledger.reports import Span

        begun, over = self.start or start, self.end or end
        if begun >= over:
            raise UnprocessableRequest("from must be before to", param="from")
        if over - begun > _ONE_PERIOD:
            raise UnprocessableRequest("from and to are more than ten years apart", param="from")
        return Span.of(begun, over)


Asked = Annotated[Filter, Depends(Filter)]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def usd(nanos: int) -> float:
    """Nano-dollars as a JSON number of US dollars."""
    return nanos / NANOS


@router.get("/costs")
@router.get("/v1/costs")
async def costs(state: GatewayState, _: Caller, asked: Asked) -> dict[str, Any]:
    """All spending so far, by persona, provider, model and tenant."""
    from execution_platform.ledger.reports import NOBODY, grouped, total

    storage = await _storage(state)
    span = asked.span(_EPOCH, _now() + timedelta(days=1))
    async with storage.read(asked.wall) as connection:
        answer = _line(await total(connection, span, asked.only))
        for by in _SHOWN:
            lines = await grouped(connection, span, asked.only, (by,))
            answer[f"by_{by}"] = {line.names[0] or NOBODY: _line(line) for line in lines}
    return answer


@router.get("/v1/cost/summary")
async def summary(state: GatewayState, _: Caller, asked: Asked, period: PeriodName | None = None) -> dict[str, Any]:
    """Spending in a range, or in the current hour, day or month; `series` has its hours, days or months."""
    from execution_platform.ledger.reports import NOBODY, grouped, period_of, series, total

    storage = await _storage(state)
    start, end = period_of(period, _now()) if period is not None else (_EPOCH, _now() + timedelta(days=1))
    span = asked.span(start, end)
    async with storage.read(asked.wall) as connection:
        whole = await total(connection, span, asked.only)
        answer: dict[str, Any] = {
            "total_cost": usd(whole.nanos),
            "requests": whole.requests,
            "tokens": whole.tokens,
            "input_tokens": whole.input_tokens,
            "output_tokens": whole.output_tokens,
            "estimated_cost": usd(whole.estimated_nanos),
            "unpriced_attempts": whole.unpriced,
            "from": _text(span.start),
            "to": _text(span.end),
        }
        for by in ("provider", "model", "persona", "tenant"):
            lines = await grouped(connection, span, asked.only, (by,))
            answer[f"by_{by}"] = {line.names[0] or NOBODY: usd(line.nanos) for line in lines}
        points = await series(connection, span, asked.only, _grain(span))
    answer["series"] = [{"start": _text(at), **_line(line)} for at, line in points]
    return answer


@router.get("/v1/cost/forecast")
async def forecast(state: GatewayState, _: Caller, asked: Asked, period: PeriodName = "monthly") -> dict[str, Any]:
    """What the current period will have cost at its end, at the pace of the last seven whole days."""
    from execution_platform.ledger import reports

    storage = await _storage(state)
    now = _now()
    start, end = reports.period_of(period, now)
    today = reports.period_of("daily", now)[0]
    before = reports.Span.of(today - timedelta(days=_FORECAST_DAYS), today)
    async with storage.read(asked.wall) as connection:
        spent = await reports.total(connection, reports.Span.of(start, end), asked.only)
        points = await reports.series(connection, before, asked.only, "d")
    first = points[0][0] if points else before.end
    by_day = dict(points)
    days = [by_day[at].nanos if at in by_day else 0 for at in range(first, before.end, 86400)]
    return {
        "period": period,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "spent": usd(spent.nanos),
        "forecast": usd(reports.forecast(spent.nanos, days, start, end, now)),
        "per_day": usd(sum(days) // len(days)) if days else None,
        "days_observed": len(days),
    }


@router.get("/v1/cost/anomalies")
async def anomalies(
    state: GatewayState,
    _: Caller,
    asked: Asked,
    by: Group = "persona",
    factor: Annotated[float, Query(gt=1, le=1000)] = 2.0,
) -> dict[str, Any]:
    """Days of the last week (or the range) that cost more than `factor` times the median of the fourteen before."""
    from execution_platform.ledger import reports

    storage = await _storage(state)
    tomorrow = reports.period_of("daily", _now())[1]
    span = asked.span(tomorrow - timedelta(days=_FORECAST_DAYS), tomorrow)
    async with storage.read(asked.wall) as connection:
        found = await reports.anomalies(connection, span, asked.only, by, factor)
    return {
        "factor": factor,
        "by": by,
        "anomalies": [
            {
                "day": each.day,
                "name": each.name,
                "cost": usd(each.nanos),
                "typical": usd(each.typical),
                "ratio": round(each.nanos / each.typical, 2) if each.typical else None,
            }
            for each in found[:_PAGE]
        ],
    }


@router.get("/v1/cost/report")
async def report(
    state: GatewayState,
    _: Caller,
    asked: Asked,
    by: Annotated[list[Group] | None, Query()] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
    after: Annotated[list[str] | None, Query(max_length=6)] = None,
) -> Response:
    """The chargeback report: one row for each group (tenant, key and model unless `by` says otherwise), of the current month.

    JSON comes in pages: `next` holds the values of `after` for the next one. CSV comes whole.
    """
    from execution_platform.ledger import reports
    from execution_platform.ledger.tables import to_csv

    groups: list[Group] = list(dict.fromkeys(by or ("tenant", "key", "model")))
    if after is not None and len(after) != len(groups):
        raise UnprocessableRequest("after needs one value for each group of by", param="after")
    storage = await _storage(state)
    span = asked.span(*reports.period_of("monthly", _now()))
    most = _EXPORT if form == "csv" else limit + 1
    async with storage.read(asked.wall) as connection:
        lines = await reports.grouped(connection, span, asked.only, groups, after=after, limit=most)
    if form == "csv":
        header = [*groups, "cost_usd", "requests", "attempts", "input_tokens", "output_tokens"]
        rows = [[*line.names, f"{usd(line.nanos):.9f}", *_counts(line)] for line in lines]
        disposition = f'attachment; filename="costs-{_text(span.start)[:10]}.csv"'
        return Response(to_csv(header, rows), media_type="text/csv", headers={"content-disposition": disposition})
    shown = lines[:limit]
    return JSONResponse(
        {
            "from": _text(span.start),
            "to": _text(span.end),
            "by": groups,
            "rows": [{**dict(zip(groups, line.names, strict=True)), **_line(line)} for line in shown],
            "next": list(shown[-1].names) if len(lines) > limit else None,
        }
    )


@router.post("/v1/cost/track", status_code=201)
async def track(state: GatewayState, principal: Caller, body: TrackedSpending) -> dict[str, Any]:
    """Record spending that did not pass the gateway. The same `request_id` again changes nothing and gets the same answer."""
    if body.tenant is not None and body.tenant != principal.tenant and not principal.admin:
        raise PermissionDenied("this key records spending of its own tenant only")
    event = tracked_event(state.snapshot.prices, body, principal)
    store = await state.bookkeeping.store()
    await store.apply([event])
    kept = await store.find(event.id)
    return {
        "id": event.id,
        "request_id": kept["request_id"],
        "tenant": kept["tenant"],
        "cost_usd": usd(kept["cost_nanos"]),
        "confidence": kept["confidence"],
    }


def _grain(span: "Span") -> Literal["h", "d", "m"]:
    days = (span.end - span.start) / 86400
    return "h" if days <= _HOURS_UNTIL else "d" if days <= _DAYS_UNTIL else "m"


def _line(line: "Line") -> dict[str, Any]:
    return {
        "total_cost": usd(line.nanos),
        "requests": line.requests,
        "tokens": line.tokens,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
    }


def _counts(line: "Line") -> list[int]:
    return [line.requests, line.attempts, line.input_tokens, line.output_tokens]


async def _storage(state: State) -> Any:
    """The database, with what this process has served in it."""
    keeping = state.bookkeeping
    await keeping.fresh()
    await keeping.store()
    return keeping.storage


def _now() -> datetime:
    return datetime.now(UTC)


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
