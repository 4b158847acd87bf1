"""Which files make up the configuration, and how they become one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from execution_platform.config import legacy
from execution_platform.config.problems import ConfigProblems, Problem
from execution_platform.config.schema import RawConfig
from execution_platform.config.settings import Settings
from execution_platform.config.validate import validate_config
from execution_platform.config.yaml import MAX_YAML_BYTES, Document, load_yaml
from execution_platform.config.yaml import Path as Place
from execution_platform.exceptions import ConfigError

DEFAULT_FILE = "platform.yaml"
_OLDER: tuple[tuple[str, Callable[..., legacy.Fragment]], ...] = (
    ("persona_policy.yaml", legacy.persona_policy),
    ("capabilities.yaml", legacy.capabilities),
    ("persona_config.json", legacy.persona_config),
)
_FOLDERS = (".", "config")
Fragment = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sources:
    """What the files say, merged; each of them is checked, their sum is not yet."""

    merged: Fragment = field(default_factory=dict[str, object])
    lines: Mapping[Place, int] = field(default_factory=dict[Place, int])
    name: str = "configuration"
    main: Path | None = None
    """The file itself; None when there is none."""


def read_document(path: Path) -> Document:
    """Read one YAML or JSON file. Raises `ConfigError` that names the file; one that is far too large is not read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)
        if len(data) > MAX_YAML_BYTES:
            raise ConfigError(f"{path}: is over {MAX_YAML_BYTES} bytes; a configuration is smaller, check the path")
        text = data.decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    except UnicodeDecodeError:
        # The error object holds the file's bytes, so it is not kept as the cause.
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    return load_yaml(text, name=path.name)


def config_path(settings: Settings, path: str | Path | None = None) -> Path | None:
    """The file that will be read; None when there is none and none was asked for. Raises `ConfigError`."""
    named = Path(path) if path is not None else settings.config
    if named is None:
        usual = Path(DEFAULT_FILE)
        return usual if usual.is_file() else None
    if not named.is_file():
        origin = "path" if path is not None else "path (--config or EP_CONFIG)"
        raise ConfigError(f"{named}: no such file; correct the {origin}, or leave it out to run without a file")
    return named


def load_config(settings: Settings, path: str | Path | None = None, *, overlays: Sequence[Fragment] = ()) -> RawConfig:
    """The checked configuration: older files, then the file, then the persona map, then `overlays`; later ones win.

    Without any file it is the default. Raises `ConfigError`, with every finding where a file was readable.
    """
    return check_sources(read_sources(settings, path), overlays)


def read_sources(settings: Settings, path: str | Path | None = None) -> Sources:
    """What the files say: older files, then the file, then the persona map. Raises `ConfigError` for one that is wrong alone."""
    main = config_path(settings, path)
    folder = Path() if main is None else main.parent
    document = Document({}) if main is None else _upgraded(read_document(main))
    # Checked alone first, so that a finding bears the file and line it comes from.
    validate_config(document)
    fragments: list[Fragment] = _older_fragments(folder)
    fragments.append(cast("Fragment", document.data or {}))
    if settings.persona_provider_map_path is not None:
        given = read_document(settings.persona_provider_map_path)
        fragments.append(_checked(legacy.persona_map(given.data, name=given.name), given.name))
    return Sources(_merge_all(fragments), document.lines, document.name, main)


def check_sources(sources: Sources, overlays: Sequence[Fragment] = ()) -> RawConfig:
    """The checked configuration of `sources` with `overlays` on top. Raises `ConfigError`."""
    laid = [_checked(cast("Fragment", legacy.upgrade(dict(each), name="overlay")), "overlay") for each in overlays]
    return validate_config(Document(_merge_all([sources.merged, *laid]), sources.lines, sources.name))


def source_files(settings: Settings) -> tuple[Path, ...]:
    """Every file the configuration may come from, whether it exists or not."""
    main = settings.config if settings.config is not None else Path(DEFAULT_FILE)
    older = [main.parent / below / name for name, _ in _OLDER for below in _FOLDERS]
    persona_map = settings.persona_provider_map_path
    return (main, *older, *(() if persona_map is None else (persona_map,)))


def _merge_all(fragments: Sequence[Fragment]) -> Fragment:
    merged: Fragment = {}
    for fragment in fragments:
        merged = merge(merged, fragment)
    return merged


def parse_config(text: str, *, name: str = DEFAULT_FILE) -> RawConfig:
    """The checked configuration in `text`. Raises `ConfigProblems`."""
    return validate_config(load_yaml(text, name=name))


def _older_fragments(folder: Path) -> list[Fragment]:
    found: list[Fragment] = []
    for name, read in _OLDER:
        path = next((folder / below / name for below in _FOLDERS if (folder / below / name).is_file()), None)
        if path is not None:
            found.append(_checked(read(read_document(path).data, name=name), name))
    return found


def _upgraded(document: Document) -> Document:
    return Document(legacy.upgrade(document.data, name=document.name), document.lines, document.name)


def _checked(fragment: Fragment, name: str) -> Fragment:
    validate_config(Document(fragment, name=name))
    return fragment


def merge(base: Fragment, over: Fragment) -> Fragment:
    """Both fragments as one: maps are joined key by key, anything else of `over` replaces what `base` has."""
    joined = _join(base, over)
    personas = _persona_maps(base, over)
    if personas is not None:
        joined["personas"] = personas
    return joined


def _join(base: Fragment, over: Fragment) -> dict[str, object]:
    joined = dict(base)
    for key, value in over.items():
        before = joined.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            joined[key] = _join(cast("Fragment", before), cast("Fragment", value))
        else:
            joined[key] = value
    return joined


def _persona_maps(base: Fragment, over: Fragment) -> dict[str, object] | None:
    """The two spellings of a chain do not mix: the later file's replaces the earlier one's."""
    before, after = base.get("personas"), over.get("personas")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return None
    joined = dict(cast("Mapping[str, Fragment]", before))
    for name, persona in cast("Mapping[str, Fragment]", after).items():
        joined[name] = _join(_in_spelling_of(persona, joined.get(name) or {}), persona)
    return dict(joined)


def _in_spelling_of(over: Fragment, base: Fragment) -> Fragment:
    if "prefer" in over:
        return {key: value for key, value in base.items() if key not in {"provider", "fallback", "model"}}
    prefer = base.get("prefer")
    if not isinstance(prefer, list | str) or not ({"provider", "fallback"} & over.keys()):
        return base
    names = [prefer] if isinstance(prefer, str) else cast("list[object]", prefer)
    rest = {key: value for key, value in base.items() if key != "prefer"}
    return {**rest, "provider": names[0], "fallback": names[1:]} if names else rest


def problems_of(error: ConfigError) -> tuple[Problem, ...]:
    """The findings behind an error; one of its own message where it has none."""
    return error.problems if isinstance(error, ConfigProblems) else (Problem("", error.message),)
