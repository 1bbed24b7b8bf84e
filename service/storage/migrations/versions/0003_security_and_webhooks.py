"""Tokens, sessions, audit log, webhook deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", _Time, nullable=False),
        sa.Column("expires_at", _Time),
        sa.Column("last_used_at", _Time),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column(
            "token", sa.String(64), sa.ForeignKey("tokens.name", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("created_at", _Time, nullable=False),
        sa.Column("expires_at", _Time, nullable=False),
    )
    op.create_index("ix_sessions_token", "sessions", ["token"])
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", _Time, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("command", sa.String(255), nullable=False),
        sa.Column("sweep_id", sa.String(16)),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_sweep_id", "audit", ["sweep_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("sweep_id", sa.String(16), nullable=False),
        sa.Column("ended_at", _Time, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", _Time, nullable=False),
        sa.Column("due_at", _Time),
        sa.Column("delivered_at", _Time),
        sa.Column("error", sa.String),
        sa.UniqueConstraint("sweep_id", "ended_at", "url", name="uq_webhook_deliveries_end"),
    )
    op.create_index("ix_webhook_deliveries_due_at", "webhook_deliveries", ["due_at"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("webhook_deliveries", "audit", "sessions", "tokens"):
        op.drop_table(table)
