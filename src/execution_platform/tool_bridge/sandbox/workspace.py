"""A workspace before a command gets it: how large it is, what in it is hidden, and whose it is.

A gateway that runs as root hands the workspace to the user that the sandbox runs as: entries that belong to root change their
owner, entry by entry and without following links. Entries of other owners stay theirs.
"""

import os
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.sandbox.interfaces import Hides

MOST_ENTRIES: Final = 500_000
MOST_HIDDEN: Final = 500
_ROOT: Final = 0
_FIRST_USER: Final = 1_900_000_000
_USERS: Final = 1 << 24
_FIRST_USER_OF_FEW: Final = 20_000
_FEW_USERS: Final = 40_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in a workspace."""

    size: int
    hidden_files: tuple[str, ...]
    hidden_folders: tuple[str, ...]


def user_of_tenant(tenant: str) -> int:
    """The user of the machine under which commands of this tenant run where the gateway is root.

    From a range that neither people, services nor containers use (systemd.io/UIDS-GIDS, 2026-11); a container that maps only
    65,536 users gets one of those.
    """
    drawn = int.from_bytes(sha256(tenant.encode()).digest()[:8])
    if _mapped(_FIRST_USER + _USERS):
        return _FIRST_USER + drawn % _USERS
    return _FIRST_USER_OF_FEW + drawn % _FEW_USERS


def user_of(workspace: Path | None, tenant: str) -> int | None:
    """Under whom a command runs; None for the user of the gateway, which cannot choose unless it is root.

    That is the owner of the workspace, or the tenant's own user where it is root's. Raises `ToolError` for a workspace that is
    another tenant's.
    """
    if os.geteuid() != _ROOT:
        return None
    own = user_of_tenant(tenant)
    if workspace is None:
        return own
    owner = workspace.stat().st_uid
    if owner in {_ROOT, own}:
        return own
    if _FIRST_USER <= owner < _FIRST_USER + _USERS:
        raise ToolError("the workspace belongs to another tenant; every tenant has workspaces of its own")
    return owner


def survey(workspace: Path, *, owner: int | None = None, hides: Hides | None = None) -> Survey:
    """Walk through it, and hand what is root's to `owner` if one is given. Raises `ToolError` for one that is too large."""
    size, count = 0, 0
    files: list[str] = []
    folders: list[str] = []
    if owner is not None and workspace.stat().st_uid == _ROOT:
        os.chown(workspace, owner, owner, follow_symlinks=False)
    for place, names, others, descriptor in os.fwalk(workspace, follow_symlinks=False):
        below = os.path.relpath(place, workspace)
        count += len(names) + len(others)
        if count > MOST_ENTRIES:
            raise ToolError(f"the workspace has more than {MOST_ENTRIES:,} entries; remove what is not needed")
        for name in names + others:
            entry = _entry(name, descriptor)
            if entry is None:
                continue
            size += entry.st_blocks * 512
            if owner is not None and _is_ours_to_give(entry):
                os.chown(name, owner, owner, dir_fd=descriptor, follow_symlinks=False)
            path = name if below == "." else f"{below}/{name}"
            if hides is not None and hides(path):
                (folders if stat.S_ISDIR(entry.st_mode) else files).append(path)
        # What is in a hidden directory is hidden with it.
        if owner is None:
            names[:] = [name for name in names if not _is_below(f"{below}/{name}".removeprefix("./"), folders)]
    if len(files) + len(folders) > MOST_HIDDEN:
        raise ToolError(f"the workspace has more than {MOST_HIDDEN} protected files; keep only what is needed in it")
    outer = tuple(path for path in folders if not _is_below(path.rpartition("/")[0], folders))
    return Survey(size, tuple(path for path in files if not _is_below(path.rpartition("/")[0], folders)), outer)


def _entry(name: str, folder: int) -> os.stat_result | None:
    """None for what is gone by now."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_ours_to_give(entry: os.stat_result) -> bool:
    """A file with a second name may be one that is not in this workspace."""
    alone = entry.st_nlink == 1 or stat.S_ISDIR(entry.st_mode)
    return entry.st_uid == _ROOT and alone


def _is_below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _mapped(user: int) -> bool:
    """Whether the gateway's own user namespace has that user."""
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _, count = (int(word) for word in line.split())
        if first <= user < first + count:
            return True
    return False
