"""The guards of the platform: which lines keep a threat out or a promise kept, and which test notices when they are gone.

One TOML file for each part of the trust page. An entry has `rows` (ids of the page), `is` (the guard in words), `file` (below
the package), `text` (what is there, exactly once), `without` (the same without the guard) and `test` (below tests). Where two
walls stand behind each other `also` lists more pairs of texts, so that both are gone at once.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE = Path("src") / "execution_platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard, and how to take it away."""

    rows: tuple[str, ...]
    what: str
    file: Path
    """Below the root of the tree."""
    edits: tuple[tuple[str, str], ...]
    """What is there, each exactly once, and what is there instead without the guard."""
    test: str
    """A node id of pytest, from the root of the tree."""

    def removed_from(self, source: str) -> str:
        """`source` without the guard. Raises `ValueError` unless the guard is there exactly once."""
        for text, without in self.edits:
            found = source.count(text)
            if found != 1:
                raise ValueError(f"{self.file}: the guard {self.name!r} is there {found} times, not once: {text}")
            source = source.replace(text, without)
        return source

    @property
    def name(self) -> str:
        """For people and for test ids."""
        return f"{' '.join(self.rows)}: {self.what}"


def guards(folder: Path = HERE) -> Iterator[Guard]:
    """Every guard there is."""
    for table in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(table.read_text(encoding="utf-8"))["guard"]:
            yield Guard(
                rows=tuple(entry["rows"].split()),
                what=entry["is"],
                file=PACKAGE / entry["file"],
                edits=((entry["text"].strip("\n"), entry["without"].strip("\n")), *map(tuple, entry.get("also", ()))),
                test=f"tests/{entry['test']}",
            )
