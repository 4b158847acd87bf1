"""Where a run works: a directory of its own, or one the caller names within the roots that the operator allows."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from execution_platform.exceptions import PermissionDenied, UnprocessableRequest
from execution_platform.tool_bridge.workspaces import FOLDER, SHARED, on_disk, workspace

_TENANT = "{tenant}"


class Workspaces:
    """The directories of all runs.

    `root` is the gateway's own folder, `allowed` are further roots; `{tenant}` in one stands for the caller's.
    """

    def __init__(self, root: Path, allowed: Sequence[str] = ()) -> None:
        self._root = root.absolute()
        self._allowed = tuple(allowed)

    def find(self, tenant: str, named: str | None, own: str = SHARED) -> Path:
        """The directory `named` by a caller; without a name the one called `own`, made if need be.

        A name that is no absolute path is one of the tenant's own directories. Raises `PermissionDenied` for a path outside every allowed root,
        `UnprocessableRequest` for one that is not there, `ConfigError` when the tenant's cannot be made.
        """
        if named is None or not Path(named).is_absolute():
            return workspace(self._root, tenant, named or own).resolve()
        path = Path(named).resolve()
        roots = [Path(root.replace(_TENANT, on_disk(tenant))).resolve() for root in self._allowed]
        roots.append(self._root.resolve() / FOLDER / on_disk(tenant))
        if not any(path == root or root in path.parents for root in roots) or self._holds_ours(path):
            raise PermissionDenied(
                "workspace: is outside the directories that runs may use; name one below runs.workspace_roots of the "
                "configuration, or leave it out",
                param="workspace",
            )
        if not path.is_dir():
            raise UnprocessableRequest("workspace: there is no such directory; make it first", param="workspace")
        return path

    def remove(self, tenant: str, run_id: str) -> bool:
        """Remove the directory that a run had for itself; whether it is gone. One that was named by a caller stays."""
        place = self._root / FOLDER / on_disk(tenant) / on_disk(run_id)
        shutil.rmtree(place, ignore_errors=True)
        return not place.exists()

    def left(self, keep: timedelta, days: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """Directories of runs that are older than they are kept, for a tenant of `days` so long: its name on disk, and the run."""
        now = time.time()
        own = {on_disk(tenant): min(keep, timedelta(days=most)) for tenant, most in days.items()}
        for place in (self._root / FOLDER).glob("*/run_*"):
            with suppress(FileNotFoundError):  # another process removes it at the same time
                age = timedelta(seconds=now - place.lstat().st_mtime)
                if age > own.get(place.parent.name, keep) and place.is_dir() and not place.is_symlink():
                    yield place.parent.name, place.name

    def _holds_ours(self, path: Path) -> bool:
        """Whether the gateway's own files would lie within the workspace."""
        ours = self._root.resolve()
        return path == ours or path in ours.parents
