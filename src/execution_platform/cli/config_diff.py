"""`ep config diff`: two files, two versions of a running gateway, or one of each."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from execution_platform.cli.outcome import told
from execution_platform.cli.output import Json, console, print_json, print_table
from execution_platform.cli.snapshot import open_snapshot, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execution_platform.config.settings import Settings

_KEYS = ("EP_API_KEY", "EP_MASTER_KEY")
_CURRENT = "current"
_FILES = frozenset({".yaml", ".yml", ".json"})
_SECONDS = 10.0
_MOST = 16 * 1024 * 1024
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
    url: Annotated[
        str | None, typer.Option(envvar="EP_GATEWAY_URL", help="Gateway to ask.", show_default="EP_HOST and EP_PORT")
    ] = None,
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
        found = _ask(settings, url, f"/v1/config/diff?{'&'.join(asked)}")
        return cast("Sequence[Mapping[str, object]]", found["changes"])
    one, other = (_content(settings, url, name or _CURRENT) for name in (before, after))
    return [difference.as_json() for difference in differences(one, other)]


def _content(settings: "Settings", url: str | None, name: str) -> object:
    """A configuration as plain data: a file as this machine's environment completes it, or a version of the gateway."""
    from execution_platform.config.display import displayed

    if _is_file(name):
        with open_snapshot(read_settings(name)) as snapshot:
            return displayed(snapshot.config)
    return _ask(settings, url, f"/v1/config/versions/{quote(name)}")["config"]


def _ask(settings: "Settings", url: str | None, path: str) -> "Mapping[str, object]":
    """What the gateway answers to an admin. Raises `ProviderError` when it does not answer, and the refusal when it refuses."""
    from execution_platform import _json
    from execution_platform.exceptions import AuthenticationError, ConfigError, PermissionDenied
    from execution_platform.transport.http import HttpCall, HttpTransport
    from execution_platform.transport.timeouts import Timeouts

    root = (url or f"http://{settings.host}:{settings.port}").rstrip("/")
    key = next((settings.environ[name] for name in _KEYS if settings.environ.get(name)), None)
    headers = {"accept": "application/json"} if key is None else {"x-api-key": key}

    async def ask() -> tuple[int, bytes]:
        transport = HttpTransport()
        try:
            limits = Timeouts(connect=3, first_token=_SECONDS, idle=_SECONDS, total=_SECONDS)
            reply = await transport.send(HttpCall("GET", root + path, headers), timeouts=limits)
            try:
                return reply.status, await reply.read(_MOST)
            finally:
                reply.close()
        finally:
            await transport.aclose()

    status, body = asyncio.run(ask())
    answer = cast("Mapping[str, object]", _json.loads(body))
    if status != 200:
        error = cast("Mapping[str, object]", answer.get("error") or {})
        refusal = {401: AuthenticationError, 403: PermissionDenied}.get(status, ConfigError)
        raise refusal(f"the gateway at {root} refuses: {error.get('message')}")
    return answer


def _cells(change: "Mapping[str, object]") -> tuple[str, str, str]:
    return str(change["path"]), _short(change, "from"), _short(change, "to")


def _short(change: "Mapping[str, object]", side: str) -> str:
    from execution_platform import _json

    if side not in change:
        return "-"
    text = _json.dumps(change[side]).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
