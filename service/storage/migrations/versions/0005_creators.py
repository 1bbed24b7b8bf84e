"""Creators of sweeps, and idempotency keys scoped to the creator."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_LOCAL = "local"
"""The creator where no token is required, as before there was an audit log."""

_sweeps = sa.table(
    "sweeps", sa.column("sweep_id"), sa.column("creator"), sa.column("idempotency_key")
)
_audit = sa.table(
    "audit",
    *(sa.column(name) for name in ("number", "actor", "command", "sweep_id", "status")),
)


def upgrade() -> None:
    """Read creators from the audit log, and scope each stored key to its sweep's creator."""
    op.add_column("sweeps", sa.Column("creator", sa.String(64)))
    op.create_index("ix_sweeps_creator", "sweeps", ["creator"])
    connection = op.get_bind()
    creators = _submitters(connection)
    for sweep_id, key in connection.execute(
        sa.select(_sweeps.c.sweep_id, _sweeps.c.idempotency_key)
    ).all():
        creator = creators.get(sweep_id, _LOCAL)
        scoped = None if key is None else hashlib.sha256(f"{creator}\n{key}".encode()).hexdigest()
        connection.execute(
            sa.update(_sweeps)
            .where(_sweeps.c.sweep_id == sweep_id)
            .values(creator=creator, idempotency_key=scoped)
        )


def downgrade() -> None:
    """Drop the creators; the keys stay digests, which no caller's key equals."""
    op.drop_index("ix_sweeps_creator", "sweeps")
    op.drop_column("sweeps", "creator")


def _submitters(connection: sa.Connection) -> dict[str, str]:
    """The creator of each sweep by id, from its first entry in the audit log."""
    is_api = (_audit.c.command == "POST /api/v1/sweeps") & (_audit.c.status == 201)
    is_page = (_audit.c.command == "POST /new") & (_audit.c.status == 303)
    query = (
        sa.select(_audit.c.sweep_id, _audit.c.actor)
        .where(_audit.c.sweep_id.is_not(None), is_api | is_page)
        .order_by(_audit.c.number.desc())
    )
    return {row.sweep_id: row.actor for row in connection.execute(query)}
