"""Events, leader lease, logs of drivers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create events, leases and logs of drivers, and add the columns of sweeps they need."""
    op.add_column(
        "sweeps", sa.Column("last_event", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
    op.add_column("sweeps", sa.Column("code_version", sa.String(255)))
    op.add_column(
        "sweeps",
        sa.Column("accepts_changes", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "events",
        _sweep_id(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("created_at", _Time, nullable=False),
    )
    op.create_table(
        "driver_logs",
        _sweep_id(),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", _Time, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables and columns."""
    for table in ("leases", "driver_logs", "events"):
        op.drop_table(table)
    for column in ("accepts_changes", "code_version", "last_event"):
        op.drop_column("sweeps", column)


def _sweep_id() -> sa.Column[str]:
    return sa.Column(
        "sweep_id",
        sa.String(16),
        sa.ForeignKey("sweeps.sweep_id", ondelete="CASCADE"),
        primary_key=True,
    )
