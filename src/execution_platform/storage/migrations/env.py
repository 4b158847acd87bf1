"""Run by Alembic: migrate over the connection that the caller has opened, in its transaction."""

from alembic import context

from execution_platform.storage.migrations import VERSION_TABLE
from execution_platform.storage.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
