"""The generated parts of the reference: each function gives one piece of Markdown, made from the code itself.

cog puts this folder on the path, so a block of a page is one line: `import _tables; cog.outl(_tables.settings())`.
"""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.routing import APIRoute

from execution_platform import exceptions
from execution_platform.catalog.profiles import ProfileTable
from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit
from execution_platform.config.facts import RawCapabilities
from execution_platform.config.known import known
from execution_platform.config.outages import OUTAGES, Action, Concern, Response
from execution_platform.config.resolve import resolve
from execution_platform.config.schema import RawConfig, config_schema
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ERROR_TABLE, ExecutionPlatformError
from execution_platform.gateway.management import MODULES
from execution_platform.gateway.matrix import access_of
from execution_platform.gateway.routes import Routes
from execution_platform.identity.principal import ROLES
from execution_platform.observability.metrics import Metrics
from execution_platform.providers.registry import specs
from execution_platform.spi.profile import CAPABILITIES
from execution_platform.tool_bridge.codes import CODES
from execution_platform.workflow.schema import workflow_schema
from typer.main import get_command

IDLE_SETTINGS = ("enable_tracing",)
"""Settings that are read and checked, and that nothing acts on."""
IDLE_KEYS = ("tools", "permissions", "permission_mode")
"""Keys of the file of which the same is true."""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines)


def code(names: Iterable[object]) -> str:
    """Words as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


# Command line


def cli() -> str:
    """Every command with its arguments and options."""
    root: Any = get_command(app)
    pieces = [_command(("ep",), root)]
    for name, command in root.commands.items():
        pieces.append(_command(("ep", name), command))
        pieces += [_command(("ep", name, below), sub) for below, sub in getattr(command, "commands", {}).items()]
    return "\n\n".join(pieces)


def _command(names: Sequence[str], command: Any) -> str:
    title = " ".join(names)
    pieces = [f"## `{title}`", inspect.cleandoc(command.help or "")]
    rows = [_parameter(each) for each in command.params if each.name != "help"]
    if rows:
        pieces.append(table(("argument or option", "default", ""), rows))
    return "\n\n".join(pieces)


def _parameter(given: Any) -> tuple[str, str, str]:
    if given.param_type_name == "argument":
        names = f"`{given.name.upper()}`"
    else:
        both = (*given.opts, *given.secondary_opts)
        names = code(name for name in both if name not in ("--install-completion", "--show-completion"))
        if not names:
            names = code(both)
    default = given.show_default if isinstance(getattr(given, "show_default", None), str) else given.default
    shown = "" if default in (None, False, ()) or callable(default) else str(default)
    return names, shown, getattr(given, "help", None) or ""


def exit_codes() -> str:
    """The exit codes and what they tell."""
    text = inspect.getdoc(inspect.getmodule(Exit)) or ""
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


# Outages


def outages() -> str:
    """What follows from every loss, by whose work it is."""
    rows = [
        (f"**{lost.value}**", *(_response(row.get(concern)) for concern in Concern)) for lost, row in OUTAGES.items()
    ]
    return table(("when this is gone", *(concern.value for concern in Concern)), rows)


def _response(given: Response | None) -> str:
    if given is None:
        return Action.NORMAL.value
    told = given.action.value if given.scope is None else f"{given.scope}: {given.action.value}"
    if given.seconds is not None:
        told += f" for {given.seconds / 60:g} min"
    if given.then is not None:
        told += f", then {given.then.value}"
    if given.code is not None:
        told += f" (`{given.code}`)"
    if given.unless is not None:
        told += f", unless {given.unless}"
    return told + (", flagged" if given.flagged else "")


def outage_actions() -> str:
    """What the words of the table mean."""
    source = inspect.getsource(Action)
    found = re.findall(r'= "([^"]+)"\n    """(.*?)"""', source)
    return table(("word", ""), [(f"**{word}**", meaning) for word, meaning in found])


# Configuration


def settings(*, idle: bool = False) -> str:
    """The process's settings, or those without an effect."""
    rows = []
    for name, field in Settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", None)
        if choices and (name in IDLE_SETTINGS) is idle:
            default = "" if field.default is None else f"`{field.default}`" if str(field.default) else "none"
            rows.append((code(choices), default, field.description))
    return table(("variable", "default", ""), rows)


def provider_variables() -> str:
    """The environment variables of each kind of provider."""
    rows = []
    for kind, spec in specs().items():
        row = known().environment.get(kind)
        key = dict.fromkeys((*(row.api_key if row else ()), *spec.key_env))
        url = dict.fromkeys((*(row.base_url if row else ()), *spec.base_url_env))
        model = row.model if row else ()
        if key or url or model:
            rows.append((f"`{kind}`", code(key), code(url), code(model)))
    return table(("kind", "key", "base URL", "model"), rows)


def configuration_keys() -> str:
    """Every section of platform.yaml with its keys."""
    schema: Any = config_schema()
    pieces = [_section("The whole file", schema)]
    titles = {
        "RawProvider": "`providers.<name>`",
        "RawTimeouts": "`timeouts`, `providers.<name>.timeouts`",
        "RawProbe": "`providers.<name>.probe`",
        "RawPrice": "`providers.<name>.prices.<model>`",
        "RawRates": "`providers.<name>.prices.<model>.tiers.<word>`",
        "RawLongPrompt": "`providers.<name>.prices.<model>.long_prompts[]`",
        "RawLogicalModel": "`models.<name>`",
        "RawTarget": "`models.<name>.targets[]`",
        "RawShadow": "`models.<name>.shadow`",
        "RawPersona": "`personas.<name>`",
        "RawKey": "`keys[]`",
        "RawLimits": "`limits`",
        "RawRateLimits": "`rate_limits`",
        "RawRateLimit": "`rate_limits.<scope>.<name>`, `keys[].rate_limit`, `personas.<name>.rate_limit`",
        "RawDrain": "`drain`",
        "RawTools": "`tools`",
        "RawHttpTools": "`tools.http`",
        "RawWebSearch": "`tools.web_search`",
        "RawCodeTools": "`tools.code`",
        "RawDbConnection": "`tools.db.connections.<name>`",
    }
    pieces += [_section(title, schema["$defs"][name]) for name, title in titles.items()]
    return "\n\n".join(pieces)


def workflow_keys() -> str:
    """Every section of a workflow's file with its keys."""
    schema: Any = workflow_schema()
    titles = {
        "RawInput": "`inputs.<name>`",
        "RawPhase": "`phases.<name>`",
        "RawPhaseLimits": "`phases.<name>.limits`",
        "RawCheck": "`phases.<name>.checks[]`",
        "RawConfiguration": "`configurations.<name>`",
        "RawOverride": "`configurations.<name>.phases.<phase>`",
    }
    pieces = [_section("The whole file", schema, ())]
    pieces += [_section(title, schema["$defs"][name], ()) for name, title in titles.items()]
    return "\n\n".join(pieces)


def _section(title: str, schema: Mapping[str, Any], idle: Sequence[str] = IDLE_KEYS) -> str:
    required = schema.get("required", ())
    rows = []
    for key, value in schema["properties"].items():
        if key in idle:
            continue
        default = value.get("default")
        shown = "required" if key in required else "" if default in (None, [], {}) else f"`{default}`"
        rows.append((f"`{key}`", _type(value), shown, value.get("description", "")))
    return f"### {title}\n\n" + table(("key", "type", "default", ""), rows)


def _type(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        return "map"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(each) for each in value["anyOf"] if each.get("type") != "null"))
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    kind = value.get("type", "any")
    if kind == "array":
        return f"list of {_type(value.get('items', {}))}"
    return {"object": "map", "string": "text"}.get(kind, kind) if isinstance(kind, str) else " or ".join(kind)


# Errors


def error_table() -> str:
    """What follows from each kind of provider error."""
    rows = [
        (
            f"`{kind}`",
            rule.status,
            _yes(rule.failover),
            _yes(rule.retry),
            f"`{rule.published}`",
            rule.level,
            "shown" if rule.public else "general sentence",
        )
        for kind, rule in ERROR_TABLE.items()
    ]
    return table(("kind", "status", "next target is tried", "retryable", "class", "log level", "message"), rows)


def error_tree() -> str:
    """The exceptions as a tree."""
    text = inspect.getdoc(exceptions) or ""
    tree = [line for line in text.splitlines() if line.startswith("    ")]
    return "```text\n" + inspect.cleandoc("\n".join(tree)) + "\n```"


def error_codes() -> str:
    """The stable code of each exception the gateway raises."""
    rows = []
    for name, found in vars(exceptions).items():
        if not (inspect.isclass(found) and issubclass(found, ExecutionPlatformError)):
            continue
        if found is ExecutionPlatformError:
            continue
        if not issubclass(found, exceptions.ProviderError):
            rows.append((f"`{name}`", f"`{found.code}`", _status(found), inspect.getdoc(found).splitlines()[0]))
    return table(("exception", "code", "status", ""), rows)


def tool_codes() -> str:
    """What a model is told of a call that did not go well."""
    return table(("code", ""), [(f"`{code}`", meaning) for code, meaning in CODES.items()])


def _status(found: type[ExecutionPlatformError]) -> int:
    blank = found.__new__(found)
    return found.status.fget(blank)  # type: ignore[attr-defined]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


# Personas, providers, capabilities


def personas() -> str:
    """The personas every installation knows."""
    config = _defaults()
    aliases: dict[str, list[str]] = {}
    for alias, name in config.persona_aliases.items():
        aliases.setdefault(name, []).append(alias)
    rows = []
    for name, persona in config.personas.items():
        requires = [key if value is True else f"{key}: {value}" for key, value in persona.requires.items()]
        rows.append(
            (
                f"`{name}`",
                " > ".join(persona.chain),
                code(requires),
                code(aliases.get(name, ())),
                persona.description or "",
            )
        )
    return table(("persona", "prefer", "requires", "also called", ""), rows)


def kinds() -> str:
    """The kinds of providers."""
    rows = []
    for kind, spec in specs().items():
        rows.append(
            (
                f"`{kind}`",
                f"`{spec.dialect}`" if spec.dialect else "none",
                f"`{spec.base_url}`" if spec.base_url else "",
                f"`{spec.auth}`" if spec.needs_key else "no key needed",
                f"`{spec.default_model}`" if spec.default_model else "",
            )
        )
    return table(("kind", "dialect", "base URL", "credential travels in", "default model"), rows)


def capability_words() -> str:
    """The names of capabilities."""
    fields = RawCapabilities.model_fields
    return table(("capability", "meaning"), ((f"`{name}`", fields[name].description or "") for name in CAPABILITIES))


def capability_matrix() -> str:
    """What the default model of each kind offers."""
    config = _defaults()
    profiles = ProfileTable({name: given.kind for name, given in config.providers.items()}, {})
    columns = [name for name in CAPABILITIES if name != "region"]
    rows = []
    for name in config.providers:
        model = config.default_model(name) or ""
        profile = profiles(name, model)
        rows.append(
            (f"`{name}/{model}`" if model else f"`{name}`", *(_offer(profile.offers(each)) for each in columns))
        )
    return table(("model", *columns), rows)


def _offer(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)


def _defaults() -> Any:
    return resolve(RawConfig(), Settings({}), specs())


# HTTP and metrics


def llm_paths() -> str:
    """The LLM paths with the paths that mean the same."""
    routes = Routes()
    by_spec: dict[str, tuple[Any, list[str]]] = {}
    for path, spec in routes.exact.items():
        by_spec.setdefault(spec.path, (spec, []))[1].append(path)
    rows = [
        (f"`POST {name}`", f"`{spec.dialect.name}`", spec.summary, code(path for path in paths if path != name))
        for name, (spec, paths) in by_spec.items()
    ]
    for spec in routes.gemini.values():
        same = (spec.path.replace("/v1beta", root) for root in ("/v1", "/genai/v1beta", "/genai/v1"))
        rows.append((f"`POST {spec.path}`", f"`{spec.dialect.name}`", spec.summary, code(same)))
    return table(("path", "dialect", "", "same as"), rows)


def management_paths() -> str:
    """Every other path, with who may use it."""
    rows = []
    for module in MODULES:
        for route in module.router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                method = sorted(route.methods)[0]
                summary = (inspect.getdoc(route.endpoint) or "").splitlines()[0]
                access = access_of(method, route.path)
                who = "anybody" if access.is_public else ", ".join(role for role in ROLES if role in access.roles)
                rows.append((f"`{method} {route.path}`", who, summary))
    return table(("path", "who", ""), rows)


def metrics() -> str:
    """The metrics with their labels."""
    made = Metrics()
    rows = []
    groups = [each for each in vars(made).values() if type(each).__module__.startswith("execution_platform.")]
    for collector in [*vars(made).values(), *(one for group in groups for one in vars(group).values())]:
        describe = getattr(collector, "describe", None)
        if describe is None or collector is made.registry:
            continue
        for family in describe():
            suffix = "_total" if family.type == "counter" else ""
            labels = code(getattr(collector, "_labelnames", ()))
            rows.append((f"`{family.name}{suffix}`", family.type, labels, family.documentation))
    return table(("metric", "type", "labels", ""), rows)


# The database


def database_tables() -> str:
    """Every table with its columns."""
    from sqlalchemy.dialects import postgresql

    from execution_platform.storage.schema import metadata

    parts: list[str] = []
    for made in metadata.sorted_tables:
        rows = []
        for column in made.columns:
            kind = column.type.compile(dialect=postgresql.dialect()).lower()
            notes = ["key"] if column.primary_key else []
            notes += [] if column.nullable or column.primary_key else ["always set"]
            rows.append((f"`{column.name}`", kind, ", ".join(notes)))
        parts.append(f"### `{made.name}`\n\n" + table(("column", "type", ""), rows))
    return "\n\n".join(parts)
