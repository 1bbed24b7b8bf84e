"""Each trial's value of every axis of its optimizer."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_PAGE = 5_000
"""Trials read and written at a time."""

_trials = sa.table(
    "trials",
    sa.column("sweep_id"),
    sa.column("key"),
    sa.column("learning_rate"),
    sa.column("weight_decay"),
    sa.column("hyperparameters", sa.JSON),
)
_COLUMNS = ("learning_rate", "weight_decay")


def upgrade() -> None:
    """Add the column, filled with the two axes that every sweep had so far."""
    op.add_column("trials", sa.Column("hyperparameters", sa.JSON))
    connection = op.get_bind()
    query = sa.select(_trials.c.sweep_id, _trials.c.key, *(_trials.c[name] for name in _COLUMNS))
    fill = (
        sa.update(_trials)
        .where(_trials.c.sweep_id == sa.bindparam("of_sweep"), _trials.c.key == sa.bindparam("of"))
        .values(hyperparameters=sa.bindparam("hyperparameters"))
    )
    rows = connection.execute(query).all()
    for start in range(0, len(rows), _PAGE):
        values = [
            {
                "of_sweep": row.sweep_id,
                "of": row.key,
                "hyperparameters": {name: getattr(row, name) for name in _COLUMNS},
            }
            for row in rows[start : start + _PAGE]
        ]
        connection.execute(fill, values)
    with op.batch_alter_table("trials") as table:
        table.alter_column("hyperparameters", existing_type=sa.JSON, nullable=False)
        for name in _COLUMNS:
            table.alter_column(name, existing_type=sa.Double, nullable=True)


def downgrade() -> None:
    """Drop the column, and the trials without one of the two axes, which earlier releases require.

    A later upgrade can restore these from MLflow with ``sasam repair``.
    """
    is_other = sa.or_(*(_trials.c[name].is_(None) for name in _COLUMNS))
    op.get_bind().execute(sa.delete(_trials).where(is_other))
    with op.batch_alter_table("trials") as table:
        table.drop_column("hyperparameters")
        for name in _COLUMNS:
            table.alter_column(name, existing_type=sa.Double, nullable=False)
