"""The database of a workspace for commands that change it without a gateway, and the trail of such changes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings
    from execution_platform.storage.engine import Storage


@asynccontextmanager
async def books(settings: "Settings") -> "AsyncGenerator[Storage]":
    """The database, with its tables, closed at the end. Raises `DatabaseUnavailable`."""
    from execution_platform.storage.address import address
    from execution_platform.storage.engine import Storage
    from execution_platform.storage.migrations import prepare

    storage = Storage(address(settings.database_url, settings.workspace_root))
    try:
        await prepare(storage)
        yield storage
    finally:
        await storage.close()


async def ready() -> None:
    """The tables are there: `books` has seen to it."""


async def note(storage: "Storage", action: str, kind: str, identity: str, details: Mapping[str, object]) -> None:
    """Enter a change in the audit trail, by the user who ran the command. Raises `DatabaseUnavailable`."""
    from getpass import getuser

    from execution_platform.identity.principal import Principal
    from execution_platform.identity.trail import Trail

    try:
        user = getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container's user often has no name
    await Trail(storage, ready).note(Principal(f"ep:{user}", role="admin"), action, kind, identity, details=details)
