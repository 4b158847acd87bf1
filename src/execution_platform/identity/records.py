"""A gateway key as the database keeps it, and its scope in the form of a JSON document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from execution_platform.exceptions import UnprocessableRequest
from execution_platform.identity.principal import Principal, Role
from execution_platform.identity.scope import ROUTE_CLASSES, Names, Scope
from execution_platform.spi.loss import LossPolicy

_SETS = ("models", "personas", "tools", "routes")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One issued key. `digest` is all that is kept of its text."""

    id: str
    name: str
    tenant: str
    team: str
    role: Role
    scope: Scope
    parent_id: str | None
    digest: bytes
    previous_digest: bytes | None
    previous_until: datetime | None
    """The key's text before its last rotation, and until when it is still taken."""
    loss_policy: LossPolicy | None
    revision: int
    created_at: datetime
    revoked_at: datetime | None

    def matches(self, digest: bytes, now: datetime) -> bool:
        """Whether a key with this digest is this one, now. Digests are compared by value: they are no secret to time."""
        if self.revoked_at is not None or self.scope.is_over(now):
            return False
        if digest == self.digest:
            return True
        return self.previous_until is not None and now < self.previous_until and digest == self.previous_digest

    def principal(self) -> Principal:
        """The caller that uses it."""
        return Principal(self.name, self.tenant, self.role, self.scope, self.id, self.team, self.loss_policy)


def document_of(scope: Scope) -> dict[str, object]:
    """The limits a scope has, for the database and for people; what is not limited is left out."""
    document: dict[str, object] = {
        name: sorted(cast("frozenset[str]", getattr(scope, name))) for name in _SETS if getattr(scope, name) is not None
    }
    if scope.budgets is not None:
        document["budgets"] = dict(scope.budgets)
    return document


def scope_of(document: Mapping[str, Any], expires: datetime | None) -> Scope:
    """The scope that `document` describes. Raises `UnprocessableRequest` for a route class that does not exist."""
    routes = _names(document, "routes")
    unknown = sorted((routes or frozenset()) - set(ROUTE_CLASSES))
    if unknown:
        raise UnprocessableRequest(
            f"routes: {unknown[0]!r} is no kind of path; choose from {', '.join(ROUTE_CLASSES)}", param="routes"
        )
    budgets = document.get("budgets")
    return Scope(
        models=_names(document, "models"),
        personas=_names(document, "personas"),
        tools=_names(document, "tools"),
        routes=routes,
        budgets=None if budgets is None else {str(period): int(most) for period, most in budgets.items()},
        expires=expires,
    )


def _names(document: Mapping[str, Any], name: str) -> Names:
    found = document.get(name)
    return None if found is None else frozenset(found)
