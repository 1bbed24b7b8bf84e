"""One index that answers how far a sweep is, without reading the rows of its trials."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Replace the index by a wider one."""
    columns = ["sweep_id", "outcome", "ended_at", "mlflow_run_id"]
    op.create_index("ix_trials_progress", "trials", columns)
    op.drop_index("ix_trials_outcome", "trials")


def downgrade() -> None:
    """Restore the narrower index."""
    op.create_index("ix_trials_outcome", "trials", ["sweep_id", "outcome"])
    op.drop_index("ix_trials_progress", "trials")
