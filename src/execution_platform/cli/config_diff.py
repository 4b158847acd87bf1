"""`ep config diff`: two files, two versions of a running gateway, or one of each."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from execution_platform.cli.asking import Url, ask
from execution_platform.cli.outcome import told
from execution_platform.cli.output import Json, console, print_json, print_table
from execution_platform.cli.snapshot import open_snapshot, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execution_platform.config.settings import Settings

_CURRENT = "current"
_FILES = frozenset({".yaml", ".yml", ".json"})
_LONGEST = 60


def diff(
    before: Annotated[
        str | None,
        typer.Argument(help="File, or version of the gateway.", show_default="the version in force"),
    ] = None,
    after: Annotated[
        str | None,
        typer.Argument(help="File, or version of the gateway.", show_default="what the gateway's files say now"),
    ] = None,
    url: Url = None,
    *,
    as_json: Json = False,
) -> None:
    """Show where two configurations differ. With one file: the running gateway against it; without any: what a reload would change.

    The gateway's key is read from EP_API_KEY, else EP_MASTER_KEY. Secrets are never shown.
    """
    with told():
        if before is not None and after is None and _is_file(before):
            before, after = _CURRENT, before
        changes = _changes(read_settings(None), url, before, after)
    if as_json:
        print_json({"changes": changes})
    elif changes:
        print_table("", ("where", "from", "to"), [_cells(change) for change in changes])
    else:
        console().print("No difference.")


def _is_file(name: str) -> bool:
    return os.sep in name or Path(name).suffix in _FILES or Path(name).is_file()


def _changes(
    settings: "Settings", url: str | None, before: str | None, after: str | None
) -> "Sequence[Mapping[str, object]]":
    from execution_platform.config.display import differences

    files = [name for name in (before, after) if name is not None and _is_file(name)]
    if not files:
        asked = [f"{name}={quote(value)}" for name, value in (("from", before), ("to", after)) if value is not None]
        found = ask(settings, url, f"/v1/config/diff?{'&'.join(asked)}")
        return cast("Sequence[Mapping[str, object]]", found["changes"])
    one, other = (_content(settings, url, name or _CURRENT) for name in (before, after))
    return [difference.as_json() for difference in differences(one, other)]


def _content(settings: "Settings", url: str | None, name: str) -> object:
    """A configuration as plain data: a file as this machine's environment completes it, or a version of the gateway."""
    from execution_platform.config.display import displayed

    if _is_file(name):
        with open_snapshot(read_settings(name)) as snapshot:
            return displayed(snapshot.config)
    return ask(settings, url, f"/v1/config/versions/{quote(name)}")["config"]


def _cells(change: "Mapping[str, object]") -> tuple[str, str, str]:
    return str(change["path"]), _short(change, "from"), _short(change, "to")


def _short(change: "Mapping[str, object]", side: str) -> str:
    from execution_platform import _json

    if side not in change:
        return "-"
    text = _json.dumps(change[side]).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
