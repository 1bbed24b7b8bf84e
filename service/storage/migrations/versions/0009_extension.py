"""The attempt in which a sweep was last extended."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column("sweeps", sa.Column("extended_in", sa.Integer))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("sweeps", "extended_in")
