"""Notes on the data of a sweep, and how its curvature is measured."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns; the sync fills them for live sweeps."""
    op.add_column("sweeps", sa.Column("data_notes", sa.Text))
    op.add_column("sweeps", sa.Column("hessian_method", sa.String(16)))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("sweeps", "hessian_method")
    op.drop_column("sweeps", "data_notes")
