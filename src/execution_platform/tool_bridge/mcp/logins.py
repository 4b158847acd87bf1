"""The logins that people have done at servers: kept sealed, read by every process of the installation (M13).

A login is one file below the workspace root that only its owner may read. What is in it is sealed with a key made of the
installation's pepper, so that a copy of the file alone is worth nothing, and it names the server's address, the issuer and the
client it is for: with another configuration it is not used. An issuer may give each refresh token once only, so whoever renews
a login holds the file's lock, and looks first whether another process has just done it.
"""

import asyncio
import fcntl
import hashlib
import hmac
import os
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, cast

from execution_platform import _json
from execution_platform.config.mcp import McpAddress, McpLogin
from execution_platform.exceptions import ConfigError

FOLDER: Final = "mcp/logins"
_CONTEXT: Final = b"execution-platform mcp logins"
_NONCE: Final = 12
_POLL_SECONDS: Final = 0.05

Json = Mapping[str, object]


class Binding(NamedTuple):
    """What a login is for."""

    url: str
    issuer: str
    client_id: str
    """The configured one; empty where the client was registered by the login."""


def binding_of(place: McpAddress, login: McpLogin) -> Binding:
    """What a login of this configuration is for."""
    return Binding(place.url, login.issuer, login.client_id or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A login."""

    binding: Binding
    token: Json = field(repr=False)
    """The issuer's answer."""
    metadata: Json = field(repr=False)
    """What the issuer said of itself at the login: a refresh token goes where it was told to go then."""
    client: Json | None = field(default=None, repr=False)
    """The client that the login registered."""
    until: float | None = None
    """When the access token is over, in seconds of the clock; None when the issuer did not say."""

    @property
    def access_token(self) -> str:
        """What requests bear."""
        return str(self.token["access_token"])

    def is_fresh(self) -> bool:
        """Whether the access token can still be used, as far as is known."""
        return self.until is None or time.time() < self.until


class Logins:
    """The logins of one installation. `pepper` is asked where something is sealed or read."""

    def __init__(self, root: Path, pepper: Callable[[], str]) -> None:
        self._folder = root / FOLDER
        self._pepper = pepper

    def of(self, server: str) -> Saved | None:
        """The login at a server; None without one, and for one that was sealed with another key."""
        try:
            kept = self._path(server).read_bytes()
        except FileNotFoundError:
            return None
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            sealed = b64decode(kept, validate=True)
            told = _json.loads(AESGCM(self._key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], server.encode()))
        except (InvalidTag, ValueError):
            return None
        return _saved(cast("Json", told))

    def keep(self, server: str, saved: Saved) -> None:
        """Write a login down, in the place of an earlier one. Raises `ConfigError`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        told = {
            "binding": list(saved.binding),
            "token": saved.token,
            "metadata": saved.metadata,
            "client": saved.client,
            "until": saved.until,
        }
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + AESGCM(self._key()).encrypt(nonce, _json.dumps(told), server.encode())
        path = self._path(server)
        beside = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(b64encode(sealed))
            beside.replace(path)
        except OSError as error:
            raise ConfigError(
                f"{FOLDER}: the login cannot be written below the workspace root: {error.strerror}; set EP_WORKSPACE_ROOT "
                "to a folder this process may write"
            ) from error

    def forget(self, server: str) -> bool:
        """Know a login no more; whether there was one."""
        path = self._path(server)
        known = path.exists()
        path.unlink(missing_ok=True)
        return known

    @asynccontextmanager
    async def held(self, server: str) -> AsyncGenerator[None]:
        """No other process renews the login meanwhile."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path(server).with_suffix(".lock").open("w") as lock:
            while not _locked(lock.fileno()):  # noqa: ASYNC110 - another process has it; nothing tells when it lets go
                await asyncio.sleep(_POLL_SECONDS)
            yield

    def _path(self, server: str) -> Path:
        return self._folder / f"{server}.login"

    def _key(self) -> bytes:
        return hmac.digest(self._pepper().encode(), _CONTEXT, hashlib.sha256)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _saved(told: Json) -> Saved:
    return Saved(
        binding=Binding(*cast("list[str]", told["binding"])),
        token=cast("Json", told["token"]),
        metadata=cast("Json", told["metadata"]),
        client=cast("Json | None", told["client"]),
        until=cast("float | None", told["until"]),
    )
