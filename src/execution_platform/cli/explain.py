"""`ep explain`: the dry run of a request."""

from typing import Annotated, NamedTuple, cast

import typer

from execution_platform.cli.asking import Running, ask
from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import ConfigFile, Json, console, print_json, print_table
from execution_platform.cli.snapshot import open_snapshot, read_settings

Row = dict[str, object]


def explain(
    name: Annotated[
        str | None, typer.Argument(help="Persona or model that is asked for; the default provider unless given.")
    ] = None,
    prompt: Annotated[str, typer.Argument(help="What would be asked.")] = "Hello",
    require: Annotated[
        list[str] | None, typer.Option("--require", "-r", help="Capability the request needs: NAME or NAME=VALUE.")
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Key of the conversation, as in the header x-ep-conversation.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, for the forecast.")] = None,
    config: ConfigFile = None,
    url: Running = None,
    *,
    as_json: Json = False,
) -> None:
    """Show which models would be tried, in order, why others would not, what would be lost and what it may cost."""
    asked = _Asked(name, prompt, _requires(require or []), conversation, max_tokens)
    with told():
        found = _in_process(asked, config) if url is None else _running(asked, config, url)
    candidates = cast("list[Row]", found["candidates"])
    if as_json:
        print_json(found)
    else:
        console().print(_summary(found))
        print_table("", ("order", "model", "state", "cost at most", "losses"), [_cells(row) for row in candidates])
    if not any(row["kept"] for row in candidates):
        raise typer.Exit(Exit.UNREACHABLE)


class _Asked(NamedTuple):
    name: str | None
    prompt: str
    requires: dict[str, object]
    conversation: str | None
    max_tokens: int | None


def _in_process(asked: _Asked, config: str | None) -> Row:
    from execution_platform.runtime.conversation import conversation_of
    from execution_platform.runtime.explain import explain as explain_request
    from execution_platform.spi import ChatRequest, Message

    with open_snapshot(read_settings(config)) as snapshot:
        known = snapshot.config
        is_persona = asked.name in known.personas or asked.name in known.persona_aliases
        request = ChatRequest(
            [Message("user", asked.prompt)],
            None if is_persona else asked.name,
            persona=asked.name if is_persona else None,
            max_tokens=asked.max_tokens,
            requires=asked.requires,
        )
        headers = {} if asked.conversation is None else {b"x-ep-conversation": asked.conversation.encode()}
        return explain_request(snapshot, request, conversation=conversation_of(headers, b"{}", "default"))


def _running(asked: _Asked, config: str | None, url: str) -> Row:
    """What the gateway at `url` would do, with the personas that were switched there."""
    settings = read_settings(config)
    personas = cast("list[Row]", ask(settings, url, "/v1/personas")["personas"])
    kind = "persona" if any(each["name"] == asked.name for each in personas) else "model"
    body: Row = {"messages": [{"role": "user", "content": asked.prompt}]}
    for key, value in ((kind, asked.name), ("max_tokens", asked.max_tokens), ("requires", asked.requires or None)):
        if value is not None:
            body[key] = value
    headers = {} if asked.conversation is None else {"x-ep-conversation": asked.conversation}
    return dict(ask(settings, url, "/v1/explain", method="POST", body=body, headers=headers))


def _summary(found: Row) -> str:
    """How the order came about, in one line."""
    words = [f"strategy {found['strategy']}"]
    if found["arm"] is not None:
        words.append(f"arm {found['arm']}")
    shadow = cast("Row | None", found["shadow"])
    if shadow is not None:
        words.append(f"shadow {shadow['model']} ({shadow['percent']:g} %)")
    return ", ".join(words)


def _requires(given: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for item in given:
        name, separator, value = item.partition("=")
        found[name] = True if not separator else int(value) if value.isdigit() else value
    return found


def _cells(row: Row) -> tuple[str, ...]:
    estimate = cast("Row", row.get("estimate") or {})
    cost = estimate.get("cost_usd")
    losses = cast("list[Row]", row.get("losses") or [])
    return (
        str(row.get("order", "-")),
        f"{row['provider']}/{row['model']}",
        str(row.get("refused") or ("would be tried" if row["kept"] else row["reason"])),
        "" if not row["kept"] else "unknown" if cost is None else f"${cost:.6f}",
        ", ".join(f"{loss['path']} ({loss['severity']})" for loss in losses),
    )
