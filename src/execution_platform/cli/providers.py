"""`ep providers`: what can answer, and what is missing where it cannot."""

from typing import TYPE_CHECKING, Annotated, TypedDict, cast

import typer

from execution_platform.cli.asking import Running, ask
from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import open_snapshot, read_settings

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings
    from execution_platform.config.values import ProviderConfig
    from execution_platform.runtime.snapshot import Snapshot


class ProviderRow(TypedDict):
    """One provider as the commands tell it."""

    name: str
    kind: str
    state: str
    reason: str | None
    default: bool
    default_model: str | None
    models: list[str]
    origin: str


def providers(
    config: ConfigFile = None,
    url: Running = None,
    *,
    discover: Annotated[bool, typer.Option(help="Look for local servers on their usual ports.")] = True,
    as_json: Json = False,
) -> None:
    """List the providers, live or not, and what is missing; of a running gateway with their circuit breakers."""
    if url is not None:
        _running(config, url, as_json=as_json)
        return
    with told():
        settings = read_settings(config)
        with open_snapshot(settings, discover=discover) as snapshot:
            rows = provider_rows(snapshot, settings)
    if as_json:
        print_json({"providers": rows})
        return
    print_table(
        "",
        ("provider", "kind", "state", "default model", "missing"),
        [
            (
                row["name"] + (" (default)" if row["default"] else ""),
                row["kind"],
                row["state"],
                row["default_model"] or "",
                row["reason"] or "",
            )
            for row in rows
        ],
    )


def _running(config: str | None, url: str, *, as_json: bool) -> None:
    """The providers of the gateway at `url`, as it sees them now."""
    with told():
        views = cast(
            "dict[str, dict[str, object]]", ask(read_settings(config), url, "/v1/health/providers")["providers"]
        )
    if as_json:
        print_json({"providers": views})
        return
    print_table(
        "",
        ("provider", "kind", "breaker", "models at fault", "missing"),
        [
            (name, str(view["kind"]), str(view["breaker"]), _at_fault(view), str(view["reason"] or ""))
            for name, view in views.items()
        ],
    )


def _at_fault(view: "dict[str, object]") -> str:
    """The models that are not asked as usual, and for how long."""
    told: list[str] = []
    for each in cast("list[dict[str, object]]", view.get("deployments", [])):
        if each["breaker"] != "closed":
            told.append(f"{each['model']}: {each['breaker']}, next try in {each['retry_in']} s")
        elif each["cooling"]:
            told.append(f"{each['model']}: asked to wait {each['cooling']} s")
    return "; ".join(told)


def provider_rows(snapshot: "Snapshot", settings: "Settings") -> list[ProviderRow]:
    """Every provider of the snapshot with its state: live, simulated or off."""
    return [_row(snapshot, settings, given) for given in snapshot.config.providers.values()]


def _row(snapshot: "Snapshot", settings: "Settings", given: "ProviderConfig") -> ProviderRow:
    provider = snapshot.providers.get(given.name)
    reason = None if provider is not None and provider.simulated else _missing(given, settings)
    state = "off" if reason is not None else "simulated" if provider is not None and provider.simulated else "live"
    return {
        "name": given.name,
        "kind": given.kind,
        "state": state,
        "reason": reason,
        "default": given.name == snapshot.default_provider,
        "default_model": snapshot.config.default_model(given.name),
        "models": list(given.models),
        "origin": given.origin,
    }


def _missing(given: "ProviderConfig", settings: "Settings") -> str | None:
    """What the provider lacks to be called; None when it can be."""
    from execution_platform.config.resolve import is_live
    from execution_platform.providers.agent_process import REMEDY, program
    from execution_platform.providers.local.packages import survey
    from execution_platform.providers.registry import specs

    spec = specs().get(given.kind)
    if not is_live(given, settings.environ):
        names = spec.key_env if spec is not None else ()
        if given.credential is not None and given.origin == "file":
            return f"no key: {given.credential.source} gives none"
        return f"no key: set {' or '.join(names)}" if names else f"no key: set providers.{given.name}.api_key"
    if spec is not None and spec.local and spec.build is not None:
        lacking = survey().missing
        return f"packages are missing: {', '.join(lacking)}" if lacking else None
    if given.kind == "claude_agent" and program() is None:
        return f"the package claude-agent-sdk is not installed; {REMEDY}"
    url = given.base_url or (spec.base_url if spec is not None else None)
    if url is None:
        has_own = spec is not None and spec.build is not None
        return None if has_own else f"no address: set providers.{given.name}.base_url"
    if given.origin == "builtin" and not given.needs_key:
        return f"no server answers at {url}"
    return None
