"""The run of another sweep whose result a reused trial has."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column."""
    op.add_column("trials", sa.Column("reused_from", sa.JSON))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("trials", "reused_from")
