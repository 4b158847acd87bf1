"""The configurations that have been in service: each with its name, its time and its cause, and what it was made of."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from execution_platform.config.files import Sources
from execution_platform.config.resolve import Resolved
from execution_platform.exceptions import RouterError
from execution_platform.gateway.snapshots import Overlays

Cause = Literal["start", "discovery", "file", "signal", "api", "persona", "rollback"]
KEPT = 32
"""Versions that can be returned to."""


@dataclass(frozen=True, slots=True)
class Version:
    """One configuration as it came into service."""

    name: str
    number: int
    config: Resolved
    sources: Sources
    personas: Overlays
    cause: Cause
    by: str | None
    """The gateway key that asked for it; None where nobody did."""
    at: float

    def as_json(self, *, in_force: bool) -> dict[str, object]:
        """The version for people, without its content."""
        return {
            "version": self.name,
            "number": self.number,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at)),
            "cause": self.cause,
            "by": self.by,
            "switched_personas": sorted(self.personas),
            "in_force": in_force,
        }


class Versions:
    """The last `KEPT` versions, the one in force last.

    A version is named by its content, so equal configurations have equal names on every replica. What a secret is does not
    enter the name: where two configurations differ by nothing else, the later one gets a number behind it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: list[Version] = []
        self._number = 0

    def __iter__(self) -> Iterator[Version]:
        return iter(self._kept)

    @property
    def current(self) -> Version:
        """The one in force."""
        return self._kept[-1]

    def name(self, config: Resolved) -> str:
        """What `config` is called: the name it already has, if it was in service before."""
        taken: set[str] = set()
        for version in self._kept:
            if version.config == config:
                return version.name
            taken.add(version.name)
        name, number = config.version_id, 1
        while name in taken:
            number += 1
            name = f"{config.version_id}-{number}"
        return name

    def add(self, config: Resolved, sources: Sources, personas: Overlays, *, cause: Cause, by: str | None) -> Version:
        """Enter the configuration that is in force from now on."""
        self._number += 1
        version = Version(self.name(config), self._number, config, sources, personas, cause, by, self._clock())
        self._kept = [*self._kept[-(KEPT - 1) :], version]
        return version

    def find(self, name: str) -> Version:
        """The latest version of this name. Raises `RouterError` that lists the newest names."""
        found = next((version for version in reversed(self._kept) if version.name == name), None)
        if found is None:
            newest = ", ".join(dict.fromkeys(version.name for version in reversed(self._kept[-5:])))
            raise RouterError(
                f"configuration version {name!r} is not kept; the newest are {newest}",
                code="version_not_found",
                param="version",
            )
        return found

    def listing(self) -> Sequence[dict[str, object]]:
        """All of them, the newest first."""
        return [version.as_json(in_force=version is self.current) for version in reversed(self._kept)]
