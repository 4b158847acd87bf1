"""The reports: what was spent, by whom, and who may know."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream
from ledger.entries import event
from serving import MODELS, Served, chat_body, serving, three_vendors

KEYS = {
    "keys": [
        {"name": "boss", "key": "key-of-boss", "admin": True},
        {"name": "acme-web", "key": "key-of-acme-web", "tenant": "acme"},
        {"name": "umbrella", "key": "key-of-umbrella", "tenant": "umbrella"},
    ]
}
DAY = 24 * 3600 * 10**9


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer key-of-{name}"}


def nanos(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@asynccontextmanager
async def gateway_for(folder: Path, url: str, **changes: Any) -> AsyncIterator[Served]:
    async with (
        FakeUpstream() as upstream,
        serving(folder, three_vendors(upstream, **changes), {"EP_DATABASE_URL": url}) as gateway,
    ):
        yield gateway


async def put(gateway: Served, *events: Any) -> None:
    await (await gateway.gateway.state.bookkeeping.store()).apply(events)


def test_what_was_just_served_is_in_the_totals(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with gateway_for(tmp_path, database_url) as gateway:
            for target in MODELS.values():
                path, body = chat_body("openai_chat", "hello", target)
                assert (await gateway.post(path, body)).status == 200
            totals = (await gateway.get("/costs")).json()
            assert totals == (await gateway.get("/v1/costs")).json()
            assert totals["requests"] == 3
            assert totals["total_cost"] == pytest.approx(sum(row["total_cost"] for row in totals["by_model"].values()))
            assert set(totals["by_provider"]) == {"openai", "anthropic", "gemini"}
            assert set(totals["by_persona"]) == {"none"}
            assert set(totals["by_tenant"]) == {"default"}
            assert totals["tokens"] > 0

    asyncio.run(run())


def test_a_summary_has_the_current_period_or_the_range_that_was_asked_for(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with gateway_for(tmp_path, database_url) as gateway:
            now = datetime.now(UTC)
            day = now.replace(hour=0, minute=0, second=0, microsecond=0)
            events = [event(0, at=nanos(now), nanos=5 * 10**9, persona="architect")]
            events += [event(n, at=nanos(day - timedelta(days=n, hours=-1)), nanos=10**9) for n in range(1, 60)]
            await put(gateway, *events)
            hourly = (await gateway.get("/v1/cost/summary?period=hourly")).json()
            assert hourly["total_cost"] == 5
            daily = (await gateway.get("/v1/cost/summary?period=daily")).json()
            assert daily["total_cost"] == 5
            monthly = (await gateway.get("/v1/cost/summary?period=monthly")).json()
            assert monthly["total_cost"] == 5 + (now.day - 1)
            whole = (await gateway.get("/v1/cost/summary")).json()
            assert whole["total_cost"] == 64
            assert whole["requests"] == 60
            assert whole["by_persona"] == {"architect": 5, "none": 59}
            assert whole["by_provider"] == {"openai": 64}
            begin = (day - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
            end = (day - timedelta(days=8) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            part = (await gateway.get(f"/v1/cost/summary?from={begin}&to={end}")).json()
            assert part["total_cost"] == 2
            assert [point["total_cost"] for point in part["series"]] == [1, 1]
            one = (await gateway.get("/v1/cost/summary?persona=architect&model=gpt-4o")).json()
            assert (one["total_cost"], one["requests"]) == (5, 1)

    asyncio.run(run())


def test_a_tenant_sees_its_own_spending_only(tmp_path: Path, database_url: str) -> None:
    """K4."""

    async def run() -> None:
        async with gateway_for(tmp_path, database_url, **KEYS) as gateway:
            now = nanos(datetime.now(UTC))
            await put(
                gateway, event(1, at=now, nanos=10**9, tenant="acme"), event(2, at=now, nanos=10**9, tenant="umbrella")
            )
            for path in (
                "/costs",
                "/v1/costs",
                "/v1/cost/summary",
                "/v1/cost/forecast",
                "/v1/cost/anomalies",
                "/v1/cost/report",
            ):
                assert (await gateway.get(path)).status == 401
                assert (await gateway.get(f"{path}?tenant=umbrella", **key("acme-web"))).status == 403
                assert (await gateway.get(f"{path}?tenant=acme", **key("acme-web"))).status == 200
                got = await gateway.get(path, **key("acme-web"))
                assert got.status == 200
                assert b"umbrella" not in got.body
            for path in ("/costs", "/v1/cost/summary"):
                assert (await gateway.get(path, **key("acme-web"))).json()["total_cost"] == 1
                assert (await gateway.get(path, **key("boss"))).json()["total_cost"] == 2
                assert (await gateway.get(f"{path}?tenant=acme", **key("boss"))).json()["total_cost"] == 1

    asyncio.run(run())


def test_the_report_comes_in_pages_and_as_a_table_without_formulas(tmp_path: Path, database_url: str) -> None:
    """K10, K14."""

    async def run() -> None:
        async with gateway_for(tmp_path, database_url) as gateway:
            now = nanos(datetime.now(UTC))
            names = [f"persona-{number:03d}" for number in range(150)] + ['=HYPERLINK("http://evil")', "@x", "-1"]
            await put(gateway, *(event(n, at=now, nanos=10**9, persona=name) for n, name in enumerate(names)))
            rows: list[Any] = []
            following = ""
            while True:
                page = (await gateway.get(f"/v1/cost/report?by=persona&by=model&limit=40{following}")).json()
                assert len(page["rows"]) <= 40
                rows += page["rows"]
                if page["next"] is None:
                    break
                following = "".join(f"&after={name}" for name in page["next"])
            assert sorted(row["persona"] for row in rows) == sorted(names)
            assert sum(row["total_cost"] for row in rows) == 153
            table = await gateway.get("/v1/cost/report?by=persona&format=csv")
            assert table.header("content-type").startswith("text/csv")  # type: ignore[union-attr]
            cells = list(csv.DictReader(io.StringIO(table.body.decode())))
            assert len(cells) == 153
            assert not [cell["persona"] for cell in cells if cell["persona"][0] in "=+-@"]
            assert {'\'=HYPERLINK("http://evil")', "'@x", "'-1"} <= {cell["persona"] for cell in cells}
            for wrong in (
                "limit=1000000000",
                "limit=0",
                "by=secret",
                "after=a&after=b",
                "from=2026-02-01&to=2026-01-01",
            ):
                assert (await gateway.get(f"/v1/cost/report?{wrong}")).status == 422

    asyncio.run(run())


def test_the_forecast_goes_on_at_the_pace_of_the_last_days(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with gateway_for(tmp_path, database_url) as gateway:
            now = datetime.now(UTC)
            day = now.replace(hour=0, minute=0, second=0, microsecond=0)
            await put(gateway, *(event(n, at=nanos(day - timedelta(days=n)), nanos=10**9) for n in range(1, 8)))
            told = (await gateway.get("/v1/cost/forecast?period=monthly")).json()
            assert told["days_observed"] == 7
            assert told["per_day"] == pytest.approx(1)
            left = (datetime.fromisoformat(told["end"]) - now).total_seconds() / 86400
            assert told["forecast"] == pytest.approx(told["spent"] + left, abs=0.01)

    asyncio.run(run())


def test_a_day_that_costs_more_than_twice_the_usual_stands_out(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with gateway_for(tmp_path, database_url) as gateway:
            now = datetime.now(UTC)
            day = now.replace(hour=0, minute=0, second=0, microsecond=0)
            usual = [
                event(n, at=nanos(day - timedelta(days=n)), nanos=10**9, persona="architect") for n in range(1, 12)
            ]
            steady = [event(50 + n, at=nanos(day - timedelta(days=n)), nanos=10**9, persona="dev") for n in range(12)]
            await put(gateway, *usual, *steady, event(100, at=nanos(now), nanos=3 * 10**9, persona="architect"))
            found = (await gateway.get("/v1/cost/anomalies?by=persona")).json()["anomalies"]
            assert [(each["name"], each["cost"], each["typical"], each["ratio"]) for each in found] == [
                ("architect", 3, 1, 3)
            ]
            assert (await gateway.get("/v1/cost/anomalies?factor=5")).json()["anomalies"] == []

    asyncio.run(run())


def test_tracked_spending_is_priced_and_counts_once(tmp_path: Path, database_url: str) -> None:
    """B4: idempotent by request_id, and each tenant has its own ids."""

    async def run() -> None:
        async with gateway_for(tmp_path, database_url, **KEYS) as gateway:
            told = {
                "request_id": "ext-1",
                "provider": "openai",
                "model": "gpt-4o",
                "input_tokens": 1000,
                "output_tokens": 100,
            }
            first = await gateway.post("/v1/cost/track", told, **key("acme-web"))
            assert first.status == 201, first.body
            assert first.json()["cost_usd"] == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
            again = await gateway.post("/v1/cost/track", {**told, "input_tokens": 5}, **key("acme-web"))
            assert (again.status, again.json()) == (201, first.json())
            other = await gateway.post("/v1/cost/track", told, **key("umbrella"))
            assert other.json()["id"] != first.json()["id"]
            named = await gateway.post(
                "/v1/cost/track", {**told, "request_id": "ext-2", "tenant": "acme"}, **key("boss")
            )
            assert named.json()["tenant"] == "acme"
            assert (
                await gateway.post("/v1/cost/track", {**told, "tenant": "umbrella"}, **key("acme-web"))
            ).status == 403
            totals = (await gateway.get("/costs", **key("acme-web"))).json()
            assert totals["requests"] == 2
            assert totals["total_cost"] == pytest.approx(2 * first.json()["cost_usd"])

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"input_tokens": -1}, 422),
        ({"input_tokens": 10**30}, 422),
        ({"cost_usd": "NaN"}, 422),
        ({"cost_usd": -1}, 422),
        ({"cost_usd": 1e30}, 422),
        ({"tenant_id": "x"}, 422),
        ({"request_id": ""}, 422),
        ({"timestamp": "2999-01-01T00:00:00Z"}, 422),
        ({"model": "nobody-knows"}, 402),
        ({"model": "nobody-knows", "cost_usd": "0.25"}, 201),
    ],
)
def test_tracked_spending_that_makes_no_sense_is_refused(change: dict[str, Any], status: int, tmp_path: Path) -> None:
    """B6, K2."""

    async def run() -> None:
        async with gateway_for(tmp_path, f"sqlite:///{tmp_path / 'books.db'}") as gateway:
            told = {"request_id": "ext-1", "provider": "openai", "model": "gpt-4o", "input_tokens": 10, **change}
            got = await gateway.post("/v1/cost/track", told)
            assert got.status == status, got.body
            if status == 402:
                assert got.json()["error"]["code"] == "price_unknown"
            if status == 201:
                assert got.json()["cost_usd"] == 0.25
                assert got.json()["confidence"] == "provider_reported"

    asyncio.run(run())


def test_without_its_database_a_report_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with gateway_for(tmp_path, "postgresql://postgres@127.0.0.1:1/books") as gateway:
            got = await gateway.get("/costs")
            assert got.status == 503
            assert got.json()["error"]["code"] == "database_unavailable"
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200

    asyncio.run(run())
