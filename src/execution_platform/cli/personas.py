"""`ep personas`: who may be asked, and who would answer."""

from typing import TYPE_CHECKING, TypedDict

from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import open_snapshot, read_settings

if TYPE_CHECKING:
    from execution_platform.runtime.snapshot import Snapshot


def personas(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List the personas, their tools, and the model each would be answered by now."""
    with told(), open_snapshot(read_settings(config)) as snapshot:
        rows = [_row(snapshot, name) for name in snapshot.config.personas]
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
                    " > ".join(row["chain"]) or "default",
                    ", ".join(row["requires"]),
                    ", ".join(row["tools"]),
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


def _row(snapshot: "Snapshot", name: str) -> _Row:
    persona = snapshot.config.personas[name]
    candidates = snapshot.routing.explain(None, name).candidates
    requires = [
        capability if value is True else f"{capability}={value}" for capability, value in persona.requires.items()
    ]
    return {
        "name": name,
        "description": persona.description,
        "target": next((str(candidate.target) for candidate in candidates if candidate.kept), None),
        "chain": list(persona.chain),
        "requires": requires,
        "tools": list(persona.tools or ()),
        "aliases": [alias for alias, meant in snapshot.config.persona_aliases.items() if meant == name],
    }
