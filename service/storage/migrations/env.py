"""Alembic environment: runs the migrations on the connection of ``Database.migrate``."""

from alembic import context

import service.storage.security_tables
import service.storage.webhook_tables  # noqa: F401 - importing them adds their tables to the metadata
from service.storage.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
