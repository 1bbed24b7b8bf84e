"""Requirement of tokens, which remains after the last token is revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table; tokens are required if there is one, or a caller has used one."""
    op.create_table(
        "protection",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(
        "insert into protection (name, since) select 'tokens-required', current_timestamp "
        "where exists (select 1 from tokens) "
        "or exists (select 1 from audit where actor <> 'local')"
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("protection")
