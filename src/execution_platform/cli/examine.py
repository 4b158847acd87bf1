"""The examinations of `ep doctor`. Each connection and question takes two seconds at most."""

import asyncio
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from execution_platform.cli.examine_providers import providers
from execution_platform.cli.examine_sandbox import sandbox
from execution_platform.cli.examine_stores import database, workspace
from execution_platform.cli.finding import LIMIT, Finding
from execution_platform.cli.snapshot import open_snapshot, read_settings
from execution_platform.config.files import config_path, problems_of
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError, ProviderError
from execution_platform.gateway.auth import is_loopback
from execution_platform.gateway.listening import advice, obstacle
from execution_platform.providers.local.packages import REMEDY, survey
from execution_platform.replicas.link import LinkView, RedisLink
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.transport.http import HttpCall, HttpTransport
from execution_platform.transport.timeouts import Timeouts

_PYTHON = (3, 11)
_GREETING = 4096
"""Bytes of what a listener says at most."""


def examine(config: str | None, *, ask: bool = True) -> list[Finding]:
    """Everything worth knowing before the first request; live providers are asked for their models if `ask`."""
    found = [*_python(), *_packages()]
    try:
        settings = read_settings(config)
    except ConfigError as error:
        return [*found, *_wrong(error)]
    has_key = bool(settings.master_key)
    try:
        with open_snapshot(settings, discover=True) as snapshot:
            found.extend(_configuration(snapshot, settings))
            found.extend(_prices(snapshot))
            found.extend(_personas(snapshot))
            found.extend(sandbox(snapshot.config.tools.exec))
            found.extend(providers(snapshot, settings, ask=ask))
            has_key = has_key or bool(snapshot.config.keys)
    except ConfigError as error:
        found.extend(_wrong(error))
    found.extend(_gateway(settings, has_key=has_key))
    found.extend(_replicas(settings))
    found.extend(workspace(settings))
    found.extend(database(settings))
    return found


def _wrong(error: ConfigError) -> Iterator[Finding]:
    for problem in problems_of(error):
        message = f"{problem.path}: {problem.message}" if problem.path else problem.message
        yield Finding("configuration", "fail", message, problem.remedy or None)


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _PYTHON:
        yield Finding("python", "ok", version)
    else:
        yield Finding("python", "fail", f"{version} is too old", "Install Python 3.11 or newer.")


def _packages() -> Iterator[Finding]:
    local = survey()
    if local.missing:
        parts = ", ".join(local.missing)
        yield Finding("packages", "warn", f"the embedded model lacks {parts}", f"To answer without any key, {REMEDY}")
    else:
        yield Finding("packages", "ok", "the embedded model is installed")
    slow = [name for name in ("uvloop", "httptools") if find_spec(name) is None]
    if slow:
        yield Finding("packages", "fail", f"the server lacks {', '.join(slow)}", "pip install 'uvicorn[standard]'")


def _configuration(snapshot: Snapshot, settings: Settings) -> Iterator[Finding]:
    path = config_path(settings)
    source = "built-in defaults (no platform.yaml)" if path is None else str(path)
    yield Finding("configuration", "ok", f"{source}, version {snapshot.version}")
    for problem in snapshot.problems:
        yield Finding("configuration", "warn", f"{problem.path}: {problem.message}", problem.remedy or None)


def _prices(snapshot: Snapshot) -> Iterator[Finding]:
    """Prices of the configuration and the lists; those set at run time are not read, for that needs the database."""
    unpriced = snapshot.prices.unpriced()
    for one in unpriced:
        message = f"{one.provider}/{one.model} has no price, so it is refused (price_unknown)"
        yield Finding("prices", "warn", message, one.remedy)
    if not unpriced:
        yield Finding("prices", "ok", "every configured model has a price")


def _personas(snapshot: Snapshot) -> Iterator[Finding]:
    """Whether somebody would answer each persona of the file now; without any, each built-in one."""
    personas = snapshot.config.personas
    names = [name for name, persona in personas.items() if persona.origin == "file"] or list(personas)
    silent = [name for name in names if not _answered(snapshot, name)]
    if not silent:
        yield Finding("personas", "ok", f"all {len(names)} can be answered")
    else:
        shown = ", ".join(silent[:3]) + (", …" if len(silent) > len(silent[:3]) else "")
        remedy = f"`ep explain {silent[0]}` tells why; set a provider's key, or add one that answers to `prefer`."
        yield Finding("personas", "warn", f"nobody can answer {len(silent)} of {len(names)}: {shown}", remedy)


def _answered(snapshot: Snapshot, name: str) -> bool:
    return any(candidate.kept for candidate in snapshot.routing.explain(None, name).candidates)


def _replicas(settings: Settings) -> Iterator[Finding]:
    """The Redis of the replicas, where there is one."""
    if settings.redis_url is None:
        return
    try:
        link = RedisLink(settings.redis_url.reveal(), command_seconds=LIMIT)
    except ConfigError as error:
        yield Finding("replicas", "fail", error.message, "Correct EP_REDIS_URL, or unset it where one process serves.")
        return
    view = asyncio.run(_greet(link))
    if view.up:
        yield Finding("replicas", "ok", f"Redis answers; {view.replicas - 1} other processes use it")
    else:
        remedy = "Check EP_REDIS_URL and the server; until it answers each process takes its share of the rate limits."
        yield Finding("replicas", "warn", f"Redis cannot be used: {view.error}", remedy)


async def _greet(link: RedisLink) -> LinkView:
    await link.start()
    view = link.view
    await link.stop()
    return view


def _gateway(settings: Settings, *, has_key: bool) -> Iterator[Finding]:
    host, port = settings.host, settings.port
    if has_key or is_loopback(host):
        yield Finding("gateway", "ok", "a gateway key is set" if has_key else f"{host} needs no key")
    else:
        remedy = "Set EP_MASTER_KEY, or EP_HOST=127.0.0.1."
        yield Finding("gateway", "fail", f"{host} is reachable from other machines and no key is set", remedy)
    taken = obstacle(host, port)
    if taken is None:
        yield Finding("gateway", "ok", f"port {port} is free")
    elif asyncio.run(_is_gateway(host, port)):
        yield Finding("gateway", "ok", f"a gateway runs on port {port}")
    else:
        yield Finding("gateway", "warn", f"port {port} on {host}: {taken}", advice(port))


async def _is_gateway(host: str, port: int) -> bool:
    """Whether what listens there is one of ours. It is sent no key: it may be anybody's."""
    named = f"[{host.strip('[]')}]" if ":" in host else host
    limits = Timeouts(connect=LIMIT, first_token=LIMIT, idle=LIMIT, total=LIMIT)
    transport = HttpTransport()
    try:
        reply = await transport.send(HttpCall("GET", f"http://{named}:{port}/", {}), timeouts=limits)
        try:
            return b'"execution-platform"' in await reply.read(_GREETING)
        finally:
            reply.close()
    except ProviderError:
        return False
    finally:
        await transport.aclose()
