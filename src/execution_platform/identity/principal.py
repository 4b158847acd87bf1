"""The authenticated caller, and what its key may do."""

from dataclasses import dataclass, replace
from typing import Literal

from execution_platform.identity.scope import Scope, narrowed
from execution_platform.spi.loss import LossPolicy

Role = Literal["admin", "owner", "member", "viewer"]
"""`admin` runs the installation; `owner` runs a tenant; `member` calls; `viewer` looks."""

ROLES: tuple[Role, ...] = ("admin", "owner", "member", "viewer")
"""From the most to the least powerful; a key may only make keys of its own role or a lesser one."""

EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. Tenant and rights come from the credential and from nowhere else (E16)."""

    name: str
    tenant: str = "default"
    role: Role = "member"
    scope: Scope = EVERYTHING
    key_id: str = ""
    """The public id of an issued key; empty for keys of the configuration."""
    team: str = ""
    loss_policy: LossPolicy | None = None

    @property
    def subject(self) -> str:
        """Who pays and is limited: the id of an issued key, whose name may be given twice, else the name."""
        return self.key_id or self.name

    @property
    def admin(self) -> bool:
        """Whether the caller runs the installation and so sees every tenant."""
        return self.role == "admin"

    @property
    def only(self) -> str | None:
        """The tenant whose things the caller sees; None for all of them."""
        return None if self.role == "admin" else self.tenant

    def sees(self, tenant: str) -> bool:
        """Whether things of `tenant` exist for this caller; what does not is answered as missing (K4)."""
        return self.admin or tenant == self.tenant

    def within(self, then: "Principal") -> "Principal":
        """The caller with no more rights than `then`, the same one at an earlier time."""
        role = max(self.role, then.role, key=ROLES.index)
        return replace(self, role=role, scope=narrowed(self.scope, then.scope))

    def outranks(self, role: Role) -> bool:
        """Whether this caller may give `role` to a key or a person."""
        return ROLES.index(self.role) <= ROLES.index(role)
