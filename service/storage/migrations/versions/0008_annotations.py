"""What users keep with a sweep: its text as submitted, tags, a description, the archive."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_sweeps = sa.table(
    "sweeps",
    sa.column("sweep_id"),
    sa.column("specification", sa.JSON),
    sa.column("tags", sa.JSON),
)


def upgrade() -> None:
    """Add the columns; the tags are those of the specifications.

    The table is altered in place: a copy of it, which SQLite needs for a change of a column, would
    delete the trials with the old table.
    """
    op.add_column("sweeps", sa.Column("submitted_text", sa.Text))
    description = sa.Column("description", sa.Text, nullable=False, server_default=sa.text("''"))
    op.add_column("sweeps", description)
    op.add_column("sweeps", sa.Column("archived_at", sa.DateTime(timezone=True)))
    op.add_column("sweeps", sa.Column("tags", sa.JSON))
    connection = op.get_bind()
    fill = sa.update(_sweeps).where(_sweeps.c.sweep_id == sa.bindparam("of"))
    values = [
        {"of": row.sweep_id, "tags": row.specification.get("tags", {})}
        for row in connection.execute(sa.select(_sweeps.c.sweep_id, _sweeps.c.specification))
    ]
    if values:
        connection.execute(fill.values(tags=sa.bindparam("tags")), values)


def downgrade() -> None:
    """Drop the columns."""
    for name in ("tags", "archived_at", "description", "submitted_text"):
        op.drop_column("sweeps", name)
