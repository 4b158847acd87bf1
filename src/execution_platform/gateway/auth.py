"""Who calls: a gateway key from any of the headers that vendors' clients use.

Keys of the configuration are held as SHA-256 digests and looked up by digest, so no comparison depends on how much of a key
is right; issued keys are known to the directory. Without any key, configured or ever issued, the gateway is open, and only on
loopback: then the `Host` and `Origin` of a request must be local too, so that no web page can reach it through a browser.
"""

import hashlib
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from execution_platform.exceptions import AuthenticationError, PermissionDenied
from execution_platform.identity.directory import KeyDirectory
from execution_platform.identity.principal import Principal

Headers = Mapping[bytes, bytes]
_KEY_HEADERS = (b"x-api-key", b"x-goog-api-key", b"api-key")
_LONGEST = 4096
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", ""})
_REFUSED = "no gateway key, or an unknown one: send it as Authorization: Bearer, x-api-key, x-goog-api-key or api-key"


def digest(key: str) -> bytes:
    """What is kept of a gateway key."""
    return hashlib.sha256(key.encode()).digest()


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only."""
    return host.strip("[]").lower() in _LOOPBACK or host.startswith("127.")


class Authenticator:
    """Finds the principal of a request. Immutable; a new one comes with each configuration."""

    __slots__ = ("_digests", "_open", "_origins")

    def __init__(self, keys: Mapping[bytes, Principal], *, origins: Iterable[str] = ()) -> None:
        self._digests = dict(keys)
        self._open = None if keys else Principal("anonymous", role="admin")
        self._origins = frozenset(origins)

    @property
    def is_open(self) -> bool:
        """Whether the configuration has no key."""
        return self._open is not None

    def takes(self, key: str) -> bool:
        """Whether `key` is one of the configuration's."""
        return digest(key) in self._digests

    def standing(self, name: str, tenant: str) -> Principal | None:
        """A caller of the configuration by name; None for a name it does not have any more."""
        if self._open is not None and name == self._open.name:
            return self._open
        return next((each for each in self._digests.values() if (each.name, each.tenant) == (name, tenant)), None)

    def recognise(self, headers: Headers, directory: KeyDirectory) -> Principal | None:
        """The caller, as far as memory tells; None when it does not. Raises `PermissionDenied`."""
        if self._open is not None and directory.issued is False:
            self._check_local(headers)
            return self._open
        token = _token(headers)
        if token is None:
            return None
        return self._digests.get(hashlib.sha256(token).digest()) or directory.known(token)

    async def authenticate(self, headers: Headers, directory: KeyDirectory) -> Principal:
        """The caller whom `recognise` does not know.

        Raises `AuthenticationError` with one text for every cause, `PermissionDenied`, or `AuthBackendUnavailable` when
        nobody can say.
        """
        if self._open is not None and directory.issued is None:
            await directory.learn()
        principal = self.recognise(headers, directory)
        if principal is None:
            token = _token(headers)
            principal = await directory.find(token) if token is not None else None
        if principal is None:
            raise AuthenticationError(_REFUSED)
        return principal

    def _check_local(self, headers: Headers) -> None:
        """An open gateway answers local callers only, whatever name they found it by."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_loopback(urlsplit(f"//{host}").hostname or "" if _is_plain(host) else "?"):
            raise PermissionDenied(
                "without a gateway key only requests to localhost are served; set EP_MASTER_KEY to serve other names",
                code="host_not_allowed",
            )
        origin = headers.get(b"origin")
        if origin is None:
            return
        text = origin.decode("latin-1")
        if text not in self._origins and not is_loopback(urlsplit(text).hostname or "?"):
            raise PermissionDenied("this origin is not in CORS_ALLOWED_ORIGINS", code="origin_not_allowed")


def _is_plain(host: str) -> bool:
    """Whether a Host header is a name and perhaps a port, and nothing that parsers could disagree on."""
    return all(character.isalnum() or character in ".-:[]" for character in host)


def _token(headers: Headers) -> bytes | None:
    given = headers.get(b"authorization")
    if given is not None:
        scheme, _, token = given.partition(b" ")
        if scheme.lower() != b"bearer" or not token or len(token) > _LONGEST:
            return None
        return token.strip()
    for name in _KEY_HEADERS:
        token = headers.get(name)
        if token:
            return token if len(token) <= _LONGEST else None
    return None
