"""A gateway key as the database keeps it, and its scope in the form of a JSON document."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from execution_platform.identity.principal import Principal, Role
from execution_platform.identity.scope import Names, Scope
from execution_platform.spi.loss import LossPolicy

_SETS = ("models", "personas", "tools", "routes")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One issued key. `digest` is all that is kept of its text."""

    id: str
    name: str
    tenant: str
    team: str = ""
    role: Role
    scope: Scope
    parent_id: str | None = None
    digest: bytes
    pepper: str = ""
    """Name of the pepper that the digests were made with."""
    previous_digest: bytes | None = None
    previous_until: datetime | None = None
    """The key's text before its last rotation, and until when it is still taken."""
    loss_policy: LossPolicy | None = None
    revision: int = 0
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """When it was last seen to be used, to the half-minute."""

    def matches(self, digest: bytes, now: datetime) -> bool:
        """Whether a key with this digest is this one, now."""
        if self.revoked_at is not None or self.scope.is_over(now):
            return False
        if hmac.compare_digest(digest, self.digest):
            return True
        previous, until = self.previous_digest, self.previous_until
        return previous is not None and until is not None and now < until and hmac.compare_digest(digest, previous)

    def principal(self) -> Principal:
        """The caller that uses it."""
        return Principal(self.name, self.tenant, self.role, self.scope, self.id, self.team, self.loss_policy)


def record_of(row: Any) -> KeyRecord:
    """A row of the table `gateway_keys`."""
    return KeyRecord(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        team=row.team,
        role=row.role,
        scope=scope_of(row.scopes, row.expires_at),
        parent_id=row.parent_id,
        digest=row.digest,
        pepper=row.pepper,
        previous_digest=row.previous_digest,
        previous_until=row.previous_until,
        loss_policy=row.loss_policy,
        revision=row.revision,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def document_of(scope: Scope) -> dict[str, object]:
    """The limits a scope has, for the database and for people; what is not limited is left out."""
    document: dict[str, object] = {
        name: sorted(cast("frozenset[str]", getattr(scope, name))) for name in _SETS if getattr(scope, name) is not None
    }
    if scope.budgets is not None:
        document["budgets"] = dict(scope.budgets)
    return document


def scope_of(document: Mapping[str, Any], expires: datetime | None) -> Scope:
    """The scope that `document` describes."""
    budgets = document.get("budgets")
    return Scope(
        models=_names(document, "models"),
        personas=_names(document, "personas"),
        tools=_names(document, "tools"),
        routes=_names(document, "routes"),
        budgets=None if budgets is None else {str(period): int(most) for period, most in budgets.items()},
        expires=expires,
    )


def _names(document: Mapping[str, Any], name: str) -> Names:
    found = document.get(name)
    return None if found is None else frozenset(found)
