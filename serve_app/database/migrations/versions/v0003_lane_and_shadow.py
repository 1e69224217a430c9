"""Decisions with their lane, and what the policy on trial would have decided."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 1


def upgrade() -> None:
    """Add columns that programs of earlier versions leave empty."""
    op.add_column("decisions", sa.Column("lane", sa.Text))
    op.add_column("decisions", sa.Column("shadow_judgement", sa.Text))
    differs = sa.column("shadow_judgement").is_not(None)
    op.create_index(
        "decisions_shadow_differs",
        "decisions",
        ["decided_at_us", "request_id"],
        sqlite_where=differs,
        postgresql_where=differs,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("decisions_shadow_differs", "decisions")
    op.drop_column("decisions", "shadow_judgement")
    op.drop_column("decisions", "lane")
