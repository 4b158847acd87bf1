"""Dispatches and settlements for tests, with everything that does not matter filled in."""

from execution_platform.ledger.interfaces import Account, CostEvent, Counts, Dispatch, EventStatus, Settlement
from execution_platform.spi.usage import Confidence

AT = 1_760_000_000_000_000_000
"""2025-10-09 08:53:20 UTC."""


def uuid(number: int) -> str:
    return f"00000000-0000-8000-8000-{number:012x}"


def dispatch(number: int, *, at: int = AT, **given: object) -> Dispatch:
    account = {
        name: given.pop(name)
        for name in ("request_id", "tenant", "key_id", "persona", "run_id", "operation", "team")
        if name in given
    }
    account.setdefault("request_id", f"req_{number}")
    values: dict[str, object] = {"provider": "openai", "model": "gpt-4o", "at": at, **given}
    return Dispatch(uuid(number), Account(**account), **values)  # type: ignore[arg-type]


def settlement(
    number: int,
    *,
    status: EventStatus = "ok",
    nanos: int = 1000,
    confidence: Confidence = "metered",
    final: bool = True,
    tokens: tuple[int, int] = (10, 5),
    error: str | None = None,
) -> Settlement:
    return Settlement(uuid(number), status, nanos, confidence, final, Counts(*tokens), error, AT)


def event(number: int, *, at: int = AT, nanos: int = 1000, final: bool = True, **given: object) -> CostEvent:
    return CostEvent(dispatch(number, at=at, **given), settlement(number, nanos=nanos, final=final))
