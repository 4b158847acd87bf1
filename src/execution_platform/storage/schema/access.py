"""Tables of access: tenants, people, gateway keys, and who changed what."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint
from sqlalchemy.schema import CheckConstraint

from execution_platform.storage.schema.columns import (
    Document,
    count_column,
    metadata,
    moment_column,
    name_column,
    sequence,
    uuid_column,
)

tenants = Table(
    "tenants",
    metadata,
    name_column("id", primary_key=True),
    name_column("display_name", default=""),
    Column("store_content", Boolean, nullable=False, server_default="0"),
    # Whether prompts and answers of this tenant are kept in the request log, redacted.
    Column("retention_days", Integer),
    # Of the request log; None is the configuration's own.
    Column("settings", Document),
    count_column("revision"),
    moment_column("created_at", nullable=False),
    moment_column("disabled_at"),
)

users = Table(
    "users",
    metadata,
    uuid_column("id", primary_key=True),
    name_column("tenant", nullable=False),
    Column("issuer", String(512), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("email", String(320)),
    Column("role", String(16), nullable=False),
    count_column("revision"),
    moment_column("created_at", nullable=False),
    moment_column("disabled_at"),
    moment_column("last_login_at"),
    UniqueConstraint("issuer", "subject"),
    CheckConstraint("role IN ('admin', 'owner', 'member', 'viewer')", name="role"),
    Index("ix_users_tenant", "tenant"),
)

logins = Table(
    "logins",
    metadata,
    Column("state", LargeBinary, primary_key=True),
    # SHA-256 of what the browser brings back; a row is deleted by the first who does.
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    moment_column("expires_at", nullable=False),
    Index("ix_logins_expires_at", "expires_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    # SHA-256 of the cookie.
    uuid_column("user_id", nullable=False),
    moment_column("created_at", nullable=False),
    moment_column("expires_at", nullable=False),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

gateway_keys = Table(
    "gateway_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    # The public part of `sk-ep-<id>-<secret>`.
    name_column("name", nullable=False),
    name_column("tenant", nullable=False),
    name_column("team", default=""),
    uuid_column("user_id"),
    Column("parent_id", String(32)),
    Column("digest", LargeBinary, nullable=False),
    Column("pepper", String(32), nullable=False, server_default=""),
    # Which pepper the digest was made with.
    Column("previous_digest", LargeBinary),
    moment_column("previous_until"),
    # The secret before the last rotation and until when it is still taken.
    Column("role", String(16), nullable=False, server_default="member"),
    Column("scopes", Document, nullable=False),
    Column("loss_policy", String(16)),
    count_column("revision"),
    # Rises with every change of any key, so that replicas can ask for what is new.
    moment_column("created_at", nullable=False),
    moment_column("expires_at"),
    moment_column("revoked_at"),
    moment_column("last_used_at"),
    CheckConstraint("role IN ('admin', 'owner', 'member', 'viewer')", name="role"),
    Index("ix_gateway_keys_tenant", "tenant"),
    Index("ix_gateway_keys_revision", "revision"),
)

audit_log = Table(
    "audit_log",
    metadata,
    sequence(),
    uuid_column("id", nullable=False, unique=True),
    moment_column("timestamp", nullable=False),
    name_column("tenant", default=""),
    name_column("actor", nullable=False),
    Column("action", String(64), nullable=False),
    Column("object_kind", String(32), nullable=False),
    name_column("object_id", default=""),
    Column("details", Document),
    Column("request_id", String(128)),
    Column("position", BigInteger, nullable=False, unique=True),
    # Number in the chain, without gaps: `seq` may skip a number when a transaction is undone.
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_audit_log_tenant_seq", "tenant", "seq"),
)
