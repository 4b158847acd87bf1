"""Who may use which path: `roles.toml`, read once. The file is what is enforced, for LLM and management paths alike (K6).

A path without a row has no access and keeps the gateway from starting; so does a row without a path.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from execution_platform.exceptions import PermissionDenied
from execution_platform.identity.principal import ROLES, Principal
from execution_platform.identity.scope import ROUTE_CLASSES

PUBLIC = "public"
"""Of paths that answer without a key."""
ANY = "any"
"""Of paths that a key may use whatever kinds of paths it is limited to."""


@dataclass(frozen=True, slots=True)
class Access:
    """One row: the kind of path, and the roles that may use it."""

    kind: str
    roles: frozenset[str]

    @property
    def is_public(self) -> bool:
        """Whether no key is needed."""
        return self.kind == PUBLIC


@cache
def matrix() -> Mapping[str, Access]:
    """Every row by `METHOD /path`. Raises `ValueError` for a kind or a role that does not exist."""
    read = tomllib.loads(files("execution_platform.gateway").joinpath("roles.toml").read_text(encoding="utf-8"))
    rows: dict[str, Access] = {}
    for kind, given in read.items():
        if kind not in {PUBLIC, ANY, *ROUTE_CLASSES}:
            raise ValueError(f"roles.toml: there is no kind of path {kind!r}")
        for name, roles in given.items():
            if name in rows or not set(roles) <= set(ROLES):
                raise ValueError(f"roles.toml: {name} is there twice, or names a role that does not exist")
            rows[name] = Access(kind, frozenset(roles))
    return MappingProxyType(rows)


def access_of(method: str, path: str) -> Access:
    """The row of a path. Raises `RuntimeError` when there is none."""
    row = matrix().get(f"{method} {path}")
    if row is None:
        raise RuntimeError(f"{method} {path} has no row in roles.toml")
    return row


def permit(principal: Principal, access: Access) -> None:
    """Let `principal` pass. Raises `PermissionDenied`."""
    if principal.role not in access.roles:
        raise PermissionDenied(
            f"a key of the role {principal.role} may not do this; needed is {_words(access.roles)}", code="role_refused"
        )
    routes = principal.scope.routes
    if routes is not None and access.kind not in routes and access.kind != ANY:
        raise PermissionDenied(f"this key is not for {access.kind} paths", code="route_refused")


def _words(roles: frozenset[str]) -> str:
    return " or ".join(role for role in ROLES if role in roles)
