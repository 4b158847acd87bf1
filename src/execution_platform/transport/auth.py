"""How a credential is attached to a call, and to which calls at all.

A credential belongs to one origin, the one its upstream was configured with. `Credential.headers` gives the authenticating
headers for a URL of that origin and refuses every other, so that nothing a caller or an answer says can carry the key
elsewhere. Keys travel in headers only, never in a URL, where logs and errors would repeat them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from yarl import URL

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError

__all__ = ["Auth", "Bearer", "Credential", "HeaderKey", "NoAuth", "Origin"]

_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_PRINTABLE = re.compile(r"[!-~]+(?: [!-~]+)*")


class Auth(Protocol):
    """A way to put a key into a request."""

    def headers(self, secret: Secret | None) -> Mapping[str, str]:
        """The headers that carry `secret`; raises `ConfigError` when it is missing or cannot be a header."""
        ...


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer KEY` (RFC 6750): OpenAI and everything compatible, Azure and Vertex with access tokens."""

    def headers(self, secret: Secret | None) -> Mapping[str, str]:
        """The `authorization` header."""
        return {"authorization": f"Bearer {_text(secret)}"}


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """The bare key in a header of the vendor's: `x-api-key` (Anthropic), `x-goog-api-key` (Gemini), `api-key` (Azure)."""

    name: str

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.name):
            raise ConfigError(f"{self.name!r} is no header name in lower case; take the vendor's, such as x-api-key")

    def headers(self, secret: Secret | None) -> Mapping[str, str]:
        """The named header."""
        return {self.name: _text(secret)}


@dataclass(frozen=True, slots=True)
class NoAuth:
    """Nothing: local servers."""

    def headers(self, secret: Secret | None) -> Mapping[str, str]:
        """No header, whatever the secret."""
        return {}


class Origin(NamedTuple):
    """Scheme, host and port: what two URLs share when they lead to the same server."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of an http or https URL; raises `ConfigError` for any other and for one with a user in it."""
        try:
            parsed = URL(url)
            port = parsed.port
        except ValueError as error:
            raise ConfigError("a base URL is no URL; write it as https://host/path") from error
        if parsed.scheme not in {"http", "https"} or not parsed.raw_host or port is None:
            raise ConfigError("a base URL must begin with http:// or https:// and name a host")
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise ConfigError(f"the base URL of {parsed.raw_host} has a user in it; give the key as api_key instead")
        return cls(parsed.scheme, parsed.raw_host.lower(), port)


@dataclass(frozen=True, slots=True)
class Credential:
    """A way to authenticate, tied to the origin it may be used at."""

    auth: Auth
    origin: Origin

    def check(self, url: str) -> None:
        """Raises `ConfigError` when `url` is of another origin."""
        if Origin.of(url) != self.origin:
            raise ConfigError(f"a credential of {self.origin.host} is only sent there; the call goes to another origin")

    def headers(self, url: str, secret: Secret | None) -> Mapping[str, str]:
        """The authenticating headers for `url`; raises `ConfigError` when that is another origin."""
        self.check(url)
        return self.auth.headers(secret)


def _text(secret: Secret | None) -> str:
    text = secret.reveal() if secret is not None else ""
    if not text:
        raise ConfigError("the upstream needs a key and none is configured; set api_key")
    if not _PRINTABLE.fullmatch(text):
        raise ConfigError(
            "the key has a line break or another character no header may have; check for a copied newline"
        )
    return text
