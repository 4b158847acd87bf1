"""`ep personas`: who may be asked, and who would answer."""

from typing import TYPE_CHECKING, Any, TypedDict, cast

from execution_platform.cli.asking import Running, ask
from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import open_snapshot, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execution_platform.runtime.snapshot import Snapshot


def personas(config: ConfigFile = None, url: Running = None, *, as_json: Json = False) -> None:
    """List the personas, their tools, and the model each would be answered by now: of the files, or of a running gateway."""
    with told():
        rows = _rows(config) if url is None else _running(config, url)
    if as_json:
        print_json({"personas": rows})
        return
    print_table(
        "",
        ("persona", "answered by", "chain", "requires", "tools"),
        [
            (
                row["name"],
                row["target"] or f"nobody: ep explain {row['name']}",
                _first(row["chain"], "default"),
                _first(row["requires"], ""),
                str(len(row["tools"])),
            )
            for row in rows
        ],
    )


class _Row(TypedDict):
    name: str
    description: str | None
    target: str | None
    chain: list[str]
    requires: list[str]
    tools: list[str]
    aliases: list[str]


def _rows(config: str | None) -> list[_Row]:
    with open_snapshot(read_settings(config)) as snapshot:
        return [_row(snapshot, name) for name in snapshot.config.personas]


def _running(config: str | None, url: str) -> list[_Row]:
    """The personas of the gateway at `url`, switched ones included."""
    views = cast("list[dict[str, Any]]", ask(read_settings(config), url, "/v1/personas")["personas"])
    return [
        {
            "name": view["name"],
            "description": None,
            "target": next((each["target"] for each in view["candidates"] if each["kept"]), None),
            "chain": view["prefer"],
            "requires": _words(view["requires"]),
            "tools": view["tools"],
            "aliases": [],
        }
        for view in views
    ]


def _first(names: list[str], nothing: str) -> str:
    """The first of them and how many there are besides, so that a persona is one line; `--json` has them all."""
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else nothing


def _words(requires: "Mapping[str, object]") -> list[str]:
    return [name if value is True else f"{name}={value}" for name, value in requires.items()]


def _row(snapshot: "Snapshot", name: str) -> _Row:
    persona = snapshot.config.personas[name]
    candidates = snapshot.routing.explain(None, name).candidates
    return {
        "name": name,
        "description": persona.description,
        "target": next((str(candidate.target) for candidate in candidates if candidate.kept), None),
        "chain": list(persona.chain),
        "requires": _words(persona.requires),
        "tools": list(persona.tools or ()),
        "aliases": [alias for alias, meant in snapshot.config.persona_aliases.items() if meant == name],
    }
