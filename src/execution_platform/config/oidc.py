"""Login of people as the file writes it."""

from typing import Literal

from pydantic import Field, field_validator

from execution_platform.config.facts import Raw
from execution_platform.config.secret import SecretRef

RoleName = Literal["admin", "owner", "member", "viewer"]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class RawOidc(Raw):
    """The provider people log in at, and who they are here."""

    issuer: str = Field(
        description="Address of the provider, exactly as it names itself.", min_length=8, max_length=512
    )
    client_id: str = Field(description="Name of the gateway at the provider.", min_length=1, max_length=255)
    client_secret: SecretRef | None = Field(default=None, description="Its secret there, best as a reference.")
    redirect_url: str = Field(
        description="Address of this gateway's /login/callback as browsers reach it.", min_length=8, max_length=512
    )
    algorithms: list[Algorithm] = Field(
        default_factory=lambda: ["RS256", "ES256"], min_length=1, description="Signatures that are believed."
    )
    scopes: list[str] = Field(
        default_factory=lambda: ["openid", "email"], description="What the provider is asked to tell."
    )
    role_claim: str | None = Field(default=None, description="Claim that decides on the role, such as groups.")
    roles: dict[str, RoleName] = Field(default_factory=dict, description="Role by value of that claim.")
    default_role: RoleName | None = Field(
        default=None, description="Role of people whom the claim says nothing of; they are refused unless set."
    )
    tenant_claim: str | None = Field(default=None, description="Claim that decides on the tenant.")
    tenants: dict[str, str] = Field(default_factory=dict, description="Tenant by value of that claim.")
    tenant: str | None = Field(
        default=None, description="Tenant of people whom the claim says nothing of; they are refused unless set."
    )
    session_hours: float = Field(default=8.0, gt=0, le=168, description="How long a login lasts.")

    @field_validator("issuer", "redirect_url")
    @classmethod
    def _address(cls, value: str) -> str:
        local = value.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))
        if not value.startswith("https://") and not local:
            raise ValueError("must be an https address, or http on this machine")
        return value

    @field_validator("redirect_url")
    @classmethod
    def _callback(cls, value: str) -> str:
        if not value.endswith("/login/callback"):
            raise ValueError("must end with /login/callback")
        return value
