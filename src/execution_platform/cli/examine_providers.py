"""The examinations of `ep doctor` that concern providers: whether the address answers and the key is taken.

A provider is asked for the list of its models, which costs nothing; nothing else is sent.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from execution_platform.cli.finding import LIMIT, Finding
from execution_platform.cli.providers import provider_rows
from execution_platform.config.known import known
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.gateway.snapshots import SnapshotBuilder
from execution_platform.providers.base import WireProvider
from execution_platform.providers.registry import specs
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.transport.timeouts import Timeouts

_PORTS = {"http": 80, "https": 443}
_TIMEOUTS = Timeouts(connect=LIMIT, first_token=LIMIT, idle=LIMIT, total=LIMIT)
_NO_LISTING = frozenset({ErrorKind.NOT_FOUND, ErrorKind.BAD_REQUEST, ErrorKind.PROTOCOL})
"""Kinds of errors by which a server tells that it has no list of models."""


class _Address(NamedTuple):
    host: str
    port: int


def providers(snapshot: Snapshot, settings: Settings, *, ask: bool) -> Iterator[Finding]:
    """One line for each provider that can be called or was meant to be, and one for the default."""
    rows = provider_rows(snapshot, settings)
    addresses = {row["name"]: _address(snapshot, row["name"]) for row in rows if row["state"] == "live"}
    known_addresses = {name: address for name, address in addresses.items() if address is not None}
    reached = asyncio.run(_probe(known_addresses))
    open_ones = {name for name, problem in reached.items() if problem is None}
    answers = asyncio.run(_ask(settings, open_ones)) if ask and open_ones else {}
    for row in rows:
        name, reason = row["name"], row["reason"]
        if row["state"] == "off":
            # A provider of the file was meant to work; the built-in rows are only offers.
            if row["origin"] == "file":
                yield Finding("providers", "warn", f"{name}: {reason}", f"Set it, or remove providers.{name}.")
        elif reached.get(name) is not None:
            address = known_addresses[name]
            message = f"{name}: {address.host}:{address.port} is not reachable: {reached[name]}"
            yield Finding("providers", "fail", message, f"Check the network, a proxy, and providers.{name}.base_url.")
        else:
            yield _answer(snapshot, name, row["state"], answers.get(name))
    yield _default(snapshot)


def _answer(snapshot: Snapshot, name: str, state: str, answer: list[str] | ExecutionPlatformError | None) -> Finding:
    if isinstance(answer, ExecutionPlatformError):
        if answer.kind not in _NO_LISTING:
            return _refusal(snapshot, name, answer)
    elif answer:
        given = snapshot.config.providers[name]
        strange = [model for model in given.models if model not in answer]
        # A listing that names none of them speaks of other names: of base models where ours are deployments, say.
        if given.origin == "file" and 0 < len(strange) < len(given.models):
            message = f"{name}: does not list {', '.join(strange)}"
            return Finding("providers", "warn", message, f"Correct providers.{name}.models.")
    return Finding("providers", "ok", f"{name}: {state}")


def _refusal(snapshot: Snapshot, name: str, error: ExecutionPlatformError) -> Finding:
    if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION):
        spec = specs().get(snapshot.config.providers[name].kind)
        names = " or ".join((*(spec.key_env if spec is not None else ()), f"providers.{name}.api_key"))
        return Finding("providers", "fail", f"{name}: the key is refused ({error.kind.value})", f"Correct {names}.")
    remedy = f"Check providers.{name}.base_url and the server there; `ep doctor --no-ask` does not ask it."
    if "certificate" in error.message:
        remedy = "Renew or correct the server's certificate, or install the authority that signed it on this machine."
    state = "fail" if "certificate" in error.message else "warn"
    return Finding("providers", state, f"{name}: {error.message}", remedy)


def _default(snapshot: Snapshot) -> Finding:
    name = snapshot.default_provider
    if name is None or name not in snapshot.providers:
        remedy = f"Set a provider's key ({_key_names()}), or start a local server."
        return Finding("providers", "fail", "no provider can answer", remedy)
    if snapshot.providers[name].simulated:
        remedy = f"Set a provider's key ({_key_names()}), or install the embedded model."
        return Finding("providers", "warn", f"the default provider {name} makes its answers up", remedy)
    return Finding("providers", "ok", f"the default is {name}")


def _key_names() -> str:
    """The vendors' own variables, in the order in which `auto` looks for them."""
    rows = (specs().get(kind) for kind in known().auto_order)
    names = (next((name for name in row.key_env if not name.startswith("EP_")), None) for row in rows if row)
    return ", ".join(name for name in names if name)


def _address(snapshot: Snapshot, name: str) -> _Address | None:
    """Where a live provider is, if it is on the network at all."""
    given = snapshot.config.providers[name]
    spec = specs().get(given.kind)
    url = given.base_url or (spec.base_url if spec is not None else None)
    if url is None:
        return None
    parts = urlsplit(url)
    return _Address(parts.hostname, parts.port or _PORTS.get(parts.scheme, 443)) if parts.hostname else None


async def _probe(addresses: dict[str, _Address]) -> dict[str, str | None]:
    """What kept each connection from opening; None where it opened."""
    outcomes = await asyncio.gather(*(_reach(address) for address in addresses.values()))
    return dict(zip(addresses, outcomes, strict=True))


async def _reach(address: _Address) -> str | None:
    try:
        async with asyncio.timeout(LIMIT):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        return f"no answer within {LIMIT:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None


async def _ask(settings: Settings, names: set[str]) -> dict[str, list[str] | ExecutionPlatformError]:
    """What each provider answers when it is asked for its models. Connections belong to the loop that opens them."""
    builder = SnapshotBuilder(settings)
    try:
        built = builder.build().providers
        asked = {name: each for name in names if isinstance(each := built.get(name), WireProvider)}
        outcomes = await asyncio.gather(*(_models(each) for each in asked.values()))
        return dict(zip(asked, outcomes, strict=True))
    finally:
        await builder.fleet.aclose()


async def _models(provider: WireProvider) -> list[str] | ExecutionPlatformError:
    try:
        return await provider.list_models(_TIMEOUTS)
    except ExecutionPlatformError as error:
        return error
