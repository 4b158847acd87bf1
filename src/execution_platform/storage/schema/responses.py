"""Table of kept responses: the turns of conversations that go on by `previous_response_id`."""

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, String, Table

from execution_platform.storage.schema.columns import metadata, moment_column, name_column

_ID = 64

responses = Table(
    "responses",
    metadata,
    name_column("tenant", default="default"),
    Column("id", String(_ID), nullable=False),
    name_column("owner", default=""),
    # The subject of the key that asked.
    Column("previous_id", String(_ID)),
    Column("input", LargeBinary, nullable=False),
    # The items that came with the request, as JSON, redacted.
    Column("response", LargeBinary, nullable=False),
    # The whole answer, the same way.
    moment_column("created_at", nullable=False),
    PrimaryKeyConstraint("id", "tenant"),
    Index("ix_responses_tenant_created_at", "tenant", "created_at"),
)
