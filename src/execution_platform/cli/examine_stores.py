"""The examinations of `ep doctor` that concern what is kept: workspace, disk, database, clock."""

import asyncio
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from execution_platform.cli.finding import LIMIT, Finding
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.ledger.journal import CAP_BYTES, RESERVE_BYTES, SEGMENT_BYTES
from execution_platform.storage import migrations
from execution_platform.storage.address import Address, address
from execution_platform.storage.engine import DatabaseUnavailable, Storage

_MIB = 1024 * 1024
_NEEDED = RESERVE_BYTES + SEGMENT_BYTES
"""Bytes without which the journal cannot begin, and no request that costs something is served."""
_SKEW = 1.0
"""Seconds by which the clock may differ from the database's."""
_OLDEST = 1_767_225_600.0
"""2026-01-01: an earlier clock is wrong, since this program is newer."""


def workspace(settings: Settings) -> Iterator[Finding]:
    """Whether the workspace can be written to, and for how long."""
    root = settings.workspace_root.absolute()
    there = root if root.exists() else next(parent for parent in root.parents if parent.exists())
    problem = _unwritable(there)
    if problem == errno.ENOSPC:
        yield _full(there, 0)
        return
    if problem is not None:
        remedy = "Correct its permissions, or set EP_WORKSPACE_ROOT to a folder you may write to."
        yield Finding("workspace", "fail", f"{there} cannot be written to: {os.strerror(problem)}", remedy)
        return
    free = shutil.disk_usage(there).free
    if free < _NEEDED + CAP_BYTES:
        yield _full(there, free)
        return
    yield Finding("workspace", "ok", str(root) + ("" if root.exists() else " (will be made)"))


def _full(folder: Path, free: int) -> Finding:
    room = f"{folder} has {free // _MIB} MiB left"
    remedy = f"Free {(_NEEDED + CAP_BYTES) // _MIB} MiB, or set EP_WORKSPACE_ROOT to a folder on another disk."
    if free < _NEEDED:
        return Finding(
            "workspace", "fail", f"{room}; what is spent cannot be written down, requests are refused", remedy
        )
    return Finding("workspace", "warn", f"{room}; the journal may need more while the database is away", remedy)


def _unwritable(folder: Path) -> int | None:
    """The number of the error that keeps a file from being written there. Nothing is left behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        return error.errno or errno.EIO
    return None


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the database answers, its schema fits, and its clock is ours."""
    if time.time() < _OLDEST:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        yield Finding("clock", "fail", f"the clock says {today}", "Set the clock: certificates and budgets need it.")
    try:
        where = address(settings.database_url, settings.workspace_root)
    except ConfigError as error:
        remedy = "Correct EP_DATABASE_URL, or unset it: a file of the workspace serves."
        yield Finding("database", "fail", error.message, remedy)
        return
    if where.path is not None and not where.path.exists():
        yield Finding("database", "ok", f"{where} (will be made)")
    else:
        yield from asyncio.run(_asked(where))


def _remedy(where: Address) -> str:
    if where.kind == "sqlite":
        return "Correct the permissions of the file and its folder, or set EP_DATABASE_URL."
    return "Check that PostgreSQL runs there, and host, user, password and name in EP_DATABASE_URL."


async def _asked(where: Address) -> list[Finding]:
    storage = Storage(where)
    try:
        async with asyncio.timeout(LIMIT):
            state = await migrations.state(storage)
            skew = await _skew(storage) if storage.is_postgresql else 0.0
    except ConfigError as error:
        return [Finding("database", "fail", error.message, "pip install 'execution-platform[postgres]'")]
    except DatabaseUnavailable as error:
        return [Finding("database", "fail", error.message.partition("; see")[0], _remedy(where))]
    except TimeoutError:
        message = f"the database ({where}) gave no answer within {LIMIT:.0f} s"
        return [Finding("database", "fail", message, _remedy(where))]
    finally:
        await storage.close()
    found = [_schema(where, state)]
    if abs(skew) > _SKEW:
        message = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the database's"
        found.append(Finding("clock", "warn", message, "Let both follow the same time servers (NTP)."))
    return found


def _schema(where: Address, state: migrations.State) -> Finding:
    match state:
        case "older" if where.kind == "postgresql":
            return Finding("database", "fail", f"{where} has the schema of an older version", "Run: ep db upgrade")
        case "newer":
            message = f"{where} has the schema of a newer version"
            return Finding("database", "warn", message, "Install the version that its other gateways run.")
        case "empty":
            return Finding("database", "ok", f"{where} is empty (its tables will be made)")
        case _:
            return Finding("database", "ok", f"{where} answers")


async def _skew(storage: Storage) -> float:
    """Seconds by which our clock is ahead of the database's."""
    from sqlalchemy import text

    async with storage.read() as connection:
        theirs = (await connection.execute(text("select extract(epoch from clock_timestamp())"))).scalar_one()
    return time.time() - float(theirs)
