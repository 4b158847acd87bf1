"""`ep tools`: the tools of a running gateway, and single calls of them."""

from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlencode

import typer

from execution_platform.cli.asking import Url, ask
from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="List the tools of a gateway, and call one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the tool, or another name of it.")]
Persona = Annotated[str | None, typer.Option(help="Persona to whose tools and levels the call is held.")]


@app.command("list")
def list_tools(
    config: ConfigFile = None,
    url: Url = None,
    persona: Persona = None,
    provider: Annotated[str | None, typer.Option(help="Only tools this provider can call.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the tools, what they can do at worst, and the level they need."""
    with told():
        tools = _tools(config, url, persona=persona, provider=provider)
    if as_json:
        print_json({"tools": tools})
        return
    rows = [
        (tool["name"], tool["side_effect"], tool["level"], ", ".join(tool["aliases"]), tool["description"])
        for tool in tools
    ]
    print_table("", ("tool", "at worst", "needs", "also", "description"), rows)


@app.command()
def show(name: Name, config: ConfigFile = None, url: Url = None, *, as_json: Json = False) -> None:
    """Show one tool with its arguments."""
    with told():
        tool = _one(_tools(config, url), name)
    if as_json:
        print_json(tool)
        return
    schema = cast("Mapping[str, Any]", tool["parameters"])
    required = schema.get("required", [])
    rows = [
        (argument, _kind(given), "yes" if argument in required else "", given.get("description", ""))
        for argument, given in schema.get("properties", {}).items()
    ]
    print_table(f"{tool['name']}: {tool['description']}", ("argument", "type", "required", "meaning"), rows)


@app.command()
def invoke(
    name: Name,
    args: Annotated[str, typer.Argument(help="Arguments as a JSON object.")] = "{}",
    config: ConfigFile = None,
    url: Url = None,
    persona: Persona = None,
    *,
    as_json: Json = False,
) -> None:
    """Call a tool once, in the workspace of the key's tenant."""
    from execution_platform import _json
    from execution_platform.exceptions import ConfigError

    with told():
        try:
            given = _json.loads(args)
        except _json.JsonError as error:
            raise ConfigError(f'args: {error.message}; give a JSON object such as \'{{"path": "a.txt"}}\'') from None
        body = {"name": name, "args": given, **({"persona": persona} if persona else {})}
        answer = ask(read_settings(config), url, "/v1/tools/invoke", method="POST", body=body)
    result: object = answer["result"]
    if as_json or not isinstance(result, str):
        print_json(answer if as_json else result)
    else:
        typer.echo(result)


def _tools(config: str | None, url: str | None, **limits: str | None) -> list[dict[str, Any]]:
    given = {name: value for name, value in limits.items() if value is not None}
    path = "/v1/tools" + (f"?{urlencode(given)}" if given else "")
    return cast("list[dict[str, Any]]", ask(read_settings(config), url, path)["tools"])


def _one(tools: list[dict[str, Any]], name: str) -> dict[str, Any]:
    from execution_platform.config.problems import suggest
    from execution_platform.exceptions import RouterError

    for tool in tools:
        if name == tool["name"] or name in tool["aliases"]:
            return tool
    raise RouterError(f"no tool has the name {name!r}. {suggest(name, [tool['name'] for tool in tools])}")


def _kind(given: "Mapping[str, Any]") -> str:
    if "enum" in given:
        return " | ".join(str(value) for value in given["enum"])
    if "anyOf" in given:
        return " | ".join(_kind(each) for each in given["anyOf"])
    return str(given.get("type", "any"))
