"""Where tools work: a directory for each tenant and each run, apart from what the gateway itself keeps below its root."""

import hashlib
import re
from pathlib import Path
from typing import Final

from execution_platform.exceptions import ConfigError

FOLDER: Final = "tenants"
SHARED: Final = "shared"
"""The workspace of calls outside any run."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_MODE: Final = 0o700


def workspace(root: Path, tenant: str, name: str = SHARED) -> Path:
    """The directory `name` of a tenant, made if need be. Raises `ConfigError` when it cannot be.

    Names come from callers; those that are no plain words stand on disk under their digest, so that no name leads anywhere
    else and no two share a place (F4, X9).
    """
    place = root.absolute() / FOLDER / on_disk(tenant) / on_disk(name)
    try:
        place.mkdir(mode=_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the workspace of the tenant cannot be made: {error.strerror}; set EP_WORKSPACE_ROOT to a folder the gateway "
            "may write to",
            code="workspace_unavailable",
        ) from None
    return place


def on_disk(name: str) -> str:
    """The name of a directory for `name`: itself where it is a plain word, else its digest."""
    return name if _PLAIN.match(name) else "~" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
