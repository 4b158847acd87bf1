"""Configurations for people: run-time values as plain data, and the differences between two of them, without a secret."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Final, cast

from execution_platform.config.secret import HIDDEN, Secret, SecretRef

_ABSENT: Final = object()
_DIGEST_SHOWN: Final = 8
_SECRET_OPTION: Final = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two configurations differ; a side is absent where it has nothing there."""

    path: str
    before: object = _ABSENT
    after: object = _ABSENT

    def as_json(self) -> dict[str, object]:
        """The difference as an object: `from` and `to`, each where it exists."""
        row: dict[str, object] = {"path": self.path}
        if self.before is not _ABSENT:
            row["from"] = self.before
        if self.after is not _ABSENT:
            row["to"] = self.after
        return row


def displayed(value: object, name: str = "") -> object:
    """Run-time values as plain data.

    A secret shows where it comes from, a header only its name, an option whose name speaks of a secret likewise, and
    the digest of a gateway key its beginning.
    """
    if isinstance(value, SecretRef):
        return str(value.source)
    if isinstance(value, Secret):
        return HIDDEN
    if name == "sha256" and isinstance(value, str):
        return f"{value[:_DIGEST_SHOWN]}…"
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: displayed(getattr(value, item.name), item.name) for item in fields(value)}
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(key): HIDDEN if _is_hidden(name, str(key)) else displayed(item) for key, item in pairs}
    if isinstance(value, frozenset):
        return sorted(str(item) for item in cast("frozenset[object]", value))
    if isinstance(value, tuple | list):
        return [displayed(item) for item in cast("Sequence[object]", value)]
    return float(value) if isinstance(value, Decimal) else value


def _is_hidden(section: str, key: str) -> bool:
    return section == "headers" or (section == "options" and _SECRET_OPTION.search(key) is not None)


def differences(before: object, after: object) -> list[Difference]:
    """Where two configurations differ, by dotted path. Secrets are compared and shown as in `displayed`."""
    return list(_walk((), before, after))


def _walk(path: tuple[str, ...], before: object, after: object) -> Iterator[Difference]:
    if before == after:
        return
    one, other = _parts(before), _parts(after)
    if one is None or other is None:
        yield Difference(".".join(path), _shown(path, before), _shown(path, after))
        return
    for key in dict.fromkeys((*one, *other)):
        if key != "version_id":
            yield from _walk((*path, key), one.get(key, _ABSENT), other.get(key, _ABSENT))


def _parts(value: object) -> dict[str, object] | None:
    """What is compared one by one: fields, members of maps, and members of lists that have names; None for anything else."""
    if isinstance(value, SecretRef) or value is _ABSENT:
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): item for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        items = cast("Sequence[object]", value)
        named = {name: item for item in items if (name := _name(item)) is not None}
        return named if len(named) == len(items) else None
    return None


def _name(item: object) -> str | None:
    name = cast("Mapping[str, object]", item).get("name") if isinstance(item, Mapping) else getattr(item, "name", None)
    return name if isinstance(name, str) else None


def _shown(path: tuple[str, ...], value: object) -> object:
    if value is _ABSENT:
        return value
    if len(path) > 1 and _is_hidden(path[-2], path[-1]):
        return HIDDEN
    return displayed(value, path[-1] if path else "")
