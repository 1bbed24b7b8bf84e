"""Sweeps and trials."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "sweeps",
        sa.Column("sweep_id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("specification", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("not_before", _Time),
        sa.Column("trial_count", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("created_at", _Time, nullable=False),
        sa.Column("started_at", _Time),
        sa.Column("ended_at", _Time),
        sa.Column("mlflow_experiment_id", sa.String(64)),
        sa.Column("mlflow_run_id", sa.String(64)),
        sa.Column("synced_at", _Time),
        sa.Column("classes", sa.Integer),
        sa.UniqueConstraint("idempotency_key", name="uq_sweeps_idempotency_key"),
    )
    op.create_index("ix_sweeps_name", "sweeps", ["name"])
    op.create_index("ix_sweeps_state", "sweeps", ["state"])
    op.create_table(
        "trials",
        sa.Column(
            "sweep_id",
            sa.String(16),
            sa.ForeignKey("sweeps.sweep_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("optimizer", sa.String(64), nullable=False),
        sa.Column("optimizer_name", sa.String(64), nullable=False),
        sa.Column("learning_rate", sa.Double, nullable=False),
        sa.Column("weight_decay", sa.Double, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("details", sa.JSON),
        sa.Column("error", sa.String),
        sa.Column("mlflow_run_id", sa.String(64)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("started_at", _Time),
        sa.Column("ended_at", _Time),
    )
    op.create_index("ix_trials_outcome", "trials", ["sweep_id", "outcome"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("trials")
    op.drop_table("sweeps")
