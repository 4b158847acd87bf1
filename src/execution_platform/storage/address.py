"""Where the database is: `EP_DATABASE_URL`, or a SQLite file below the workspace."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError

FILE = "execution-platform.db"
Kind = Literal["sqlite", "postgresql"]
_SCHEMES: dict[str, Kind] = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+asyncpg": "postgresql",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A checked database address. Its text holds no password."""

    kind: Kind
    path: Path | None = None
    """Of the SQLite file."""
    host: str = ""
    port: int = 5432
    user: str = ""
    password: Secret | None = None
    database: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self.kind == "sqlite":
            return f"SQLite {self.path.name if self.path is not None else ''}"
        return f"PostgreSQL {self.host}:{self.port}/{self.database}"


def address(url: Secret | None, workspace: Path) -> Address:
    """The address that `EP_DATABASE_URL` names; the workspace's file when it is not set. Raises `ConfigError`."""
    if url is None:
        return Address("sqlite", path=workspace / FILE)
    text = url.reveal()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError("EP_DATABASE_URL is not a URL; write postgresql://user@host:5432/name.") from None
    kind = _SCHEMES.get(parts.scheme)
    if kind is None:
        raise ConfigError(
            f"EP_DATABASE_URL begins with {parts.scheme or 'nothing'}; use postgresql:// or sqlite:///path."
        )
    if kind == "sqlite":
        return _sqlite(text)
    if not parts.hostname or not parts.path.strip("/"):
        raise ConfigError("EP_DATABASE_URL names no host or no database; write postgresql://user@host:5432/name.")
    return Address(
        kind,
        host=parts.hostname,
        port=port or 5432,
        user=unquote(parts.username or ""),
        password=None if parts.password is None else Secret(unquote(parts.password)),
        database=unquote(parts.path.strip("/")),
        options=tuple(parse_qsl(parts.query)),
    )


def _sqlite(text: str) -> Address:
    """`sqlite:///relative` and `sqlite:////absolute`, as SQLAlchemy spells them."""
    path = text.partition("://")[2].partition("?")[0].removeprefix("/")
    if not path or path == ":memory:":
        raise ConfigError("EP_DATABASE_URL names no file; a database in memory would forget what was spent.")
    return Address("sqlite", path=Path(unquote(path)))
