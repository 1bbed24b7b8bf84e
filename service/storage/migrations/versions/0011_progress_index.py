"""Indexes that answer how far a sweep is, without reading the rows of its trials."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Replace the index by a wider one; add one of the reused trials."""
    columns = ["sweep_id", "outcome", "ended_at", "mlflow_run_id"]
    op.create_index("ix_trials_progress", "trials", columns)
    op.drop_index("ix_trials_outcome", "trials")
    reused = sa.text("reused_from IS NOT NULL")
    op.create_index(
        "ix_trials_reused",
        "trials",
        ["sweep_id", "ended_at"],
        sqlite_where=reused,
        postgresql_where=reused,
    )


def downgrade() -> None:
    """Restore the narrower index."""
    op.drop_index("ix_trials_reused", "trials")
    op.create_index("ix_trials_outcome", "trials", ["sweep_id", "outcome"])
    op.drop_index("ix_trials_progress", "trials")
