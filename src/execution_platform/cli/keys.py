"""`ep keys`: issue, list, change, rotate and revoke gateway keys, and read the trail of who did."""

from collections.abc import Mapping
from typing import Annotated, Any, cast
from urllib.parse import quote

import typer

from execution_platform.cli.asking import Url, ask
from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import Json, console, plain, print_json, print_table
from execution_platform.cli.snapshot import read_settings

app = typer.Typer(
    help="Gateway keys. The gateway is asked with the key in EP_API_KEY, else EP_MASTER_KEY.", no_args_is_help=True
)
KeyId = Annotated[str, typer.Argument(help="Public id of the key: the part after sk-ep-.")]
Models = Annotated[
    list[str] | None, typer.Option("--model", "-m", help="Only this model or provider; repeat for more.")
]
Personas = Annotated[list[str] | None, typer.Option("--persona", "-p", help="Only this persona; repeat for more.")]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="Only this tool; repeat for more.")]
Routes = Annotated[
    list[str] | None, typer.Option("--route", help="Only this kind of path, such as chat or manage; repeat for more.")
]
Daily = Annotated[float | None, typer.Option("--daily-usd", min=0, help="US dollars it may spend in a day.")]
Monthly = Annotated[float | None, typer.Option("--monthly-usd", min=0, help="US dollars it may spend in a month.")]
Expires = Annotated[str | None, typer.Option("--expires", help="When it ends, such as 2027-01-31T00:00:00Z.")]
_DAY = 24 * 3600
_PAGE = 100


@app.command("create")
def create(  # noqa: PLR0913 - each is an option
    name: Annotated[str, typer.Argument(help="What the key is called.")],
    *,
    url: Url = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant; that of the key that asks unless given.")] = None,
    team: Annotated[str | None, typer.Option(help="Team within the tenant.")] = None,
    role: Annotated[str, typer.Option(help="admin, owner, member or viewer.")] = "member",
    models: Models = None,
    personas: Personas = None,
    tools: Tools = None,
    routes: Routes = None,
    daily: Daily = None,
    monthly: Monthly = None,
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Issue a key. Its text is shown this once, alone on standard output, so that a script can keep it."""
    wished = _limits(models, personas, tools, routes, _budgets(daily, monthly), expires)
    who = {"name": name, "tenant": tenant, "team": team, "role": role}
    body = {**{member: value for member, value in who.items() if value is not None}, **wished}
    with told():
        made = ask(read_settings(None), url, "/v1/keys", method="POST", body=body)
    _show_secret(made, as_json=as_json)


@app.command("list")
def list_keys(
    url: Url = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List the keys that the key which asks may see."""
    found: list[Mapping[str, Any]] = []
    after = ""
    with told():
        settings = read_settings(None)
        while True:
            page = ask(settings, url, f"/v1/keys?limit={_PAGE}&after={quote(after)}")
            found += [key for key in page["keys"] if everything or key["state"] == "active"]
            after = page["next"]
            if after is None:
                break
    if as_json:
        print_json({"keys": found})
        return
    columns = ("id", "name", "tenant", "team", "role", "limits", "budget", "state", "expires")
    print_table("", columns, [_cells(key) for key in found])


@app.command("show")
def show(key_id: KeyId, url: Url = None, *, as_json: Json = False) -> None:
    """Show one key, without its text, which nobody has."""
    with told():
        found = ask(read_settings(None), url, f"/v1/keys/{quote(key_id, safe='')}")
    if as_json:
        print_json(found)
        return
    print_table("", ("", ""), [(name, _told(value)) for name, value in found.items() if value not in (None, "")])


@app.command("change")
def change(  # noqa: PLR0913 - each is an option
    key_id: KeyId,
    *,
    url: Url = None,
    name: Annotated[str | None, typer.Option(help="What the key is called.")] = None,
    team: Annotated[str | None, typer.Option(help="Team within the tenant.")] = None,
    models: Models = None,
    personas: Personas = None,
    tools: Tools = None,
    routes: Routes = None,
    daily: Daily = None,
    monthly: Monthly = None,
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Change a key; what is not given stays. It never becomes wider than the key that made it."""
    wished = _limits(models, personas, tools, routes, _budgets(daily, monthly), expires)
    body = {**{member: value for member, value in (("name", name), ("team", team)) if value is not None}, **wished}
    with told():
        changed = ask(read_settings(None), url, f"/v1/keys/{quote(key_id, safe='')}", method="PATCH", body=body)
    if as_json:
        print_json(changed)
    else:
        typer.echo(f"{changed['id']}: changed")


@app.command("rotate")
def rotate(
    key_id: KeyId,
    url: Url = None,
    overlap: Annotated[
        int, typer.Option(min=0, help="Seconds for which the old secret is still taken.", show_default="a day")
    ] = _DAY,
    *,
    as_json: Json = False,
) -> None:
    """Give a key a new secret, shown this once. The old one is taken until the overlap is over."""
    path = f"/v1/keys/{quote(key_id, safe='')}/rotate"
    with told():
        made = ask(read_settings(None), url, path, method="POST", body={"overlap_seconds": overlap})
    _show_secret(made, as_json=as_json)


@app.command("revoke")
def revoke(key_id: KeyId, url: Url = None) -> None:
    """Refuse a key, and every key made with it, on every replica within two seconds."""
    with told():
        ask(read_settings(None), url, f"/v1/keys/{quote(key_id, safe='')}", method="DELETE")
    typer.echo(f"{plain(key_id)}: revoked")


@app.command("audit")
def audit(
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="Entries, the newest first.")] = 20,
    *,
    verify: Annotated[bool, typer.Option(help="Compute the whole chain again; exit code 1 when it is broken.")] = False,
    as_json: Json = False,
) -> None:
    """Show who changed what, or check that the trail is whole."""
    with told():
        settings = read_settings(None)
        found = ask(settings, url, "/v1/audit/verify" if verify else f"/v1/audit?limit={limit}")
    if as_json:
        print_json(found)
    elif not verify:
        columns = ("", "at", "who", "what", "object", "tenant")
        print_table("", columns, [_entry(entry) for entry in found["entries"]])
    elif found["ok"]:
        typer.echo(f"{found['entries']} entries: the trail is whole")
    if verify and not found["ok"]:
        typer.echo(f"the trail is broken at entry {found['broken']}", err=True)
        raise typer.Exit(Exit.FAILED)


def _limits(
    models: list[str] | None,
    personas: list[str] | None,
    tools: list[str] | None,
    routes: list[str] | None,
    budgets: dict[str, float] | None,
    expires: str | None,
) -> dict[str, object]:
    given = {
        "models": models,
        "personas": personas,
        "tools": tools,
        "routes": routes,
        "budgets": budgets,
        "expires_at": expires,
    }
    return {name: value for name, value in given.items() if value}


def _budgets(daily: float | None, monthly: float | None) -> dict[str, float] | None:
    given = {"daily": daily, "monthly": monthly}
    return {period: most for period, most in given.items() if most is not None} or None


def _show_secret(made: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    who = f"key {made['id']} of tenant {made['tenant']}, role {made['role']}, budget {_budget(made)}"
    console(stderr=True).print(plain(f"{who}. Keep its text now; it is not shown again:"), style="dim")
    typer.echo(made["key"])


def _cells(key: Mapping[str, Any]) -> tuple[str, ...]:
    limited = [name for name in ("models", "personas", "tools", "routes") if key[name] is not None]
    limits = "; ".join(f"{name} {', '.join(key[name]) or 'none'}" for name in limited)
    return (
        key["id"],
        key["name"],
        key["tenant"],
        key["team"],
        key["role"],
        limits,
        _budget(key),
        key["state"],
        key["expires_at"] or "",
    )


def _budget(key: Mapping[str, Any]) -> str:
    budgets = cast("Mapping[str, float]", key["budgets"] or {})
    return ", ".join(f"${most:g} {period}" for period, most in budgets.items()) or "none"


def _entry(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(entry["position"]),
        entry["at"],
        entry["actor"],
        entry["action"],
        f"{entry['object']} {entry['id']}",
        entry["tenant"],
    )


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in cast("list[object]", value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in cast("dict[str, object]", value).items())
    return str(value)
