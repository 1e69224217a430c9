"""Which worker elsewhere scored."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 4

_TABLES = ("decisions", "label_scores")


def upgrade() -> None:
    """Add columns that programs of earlier versions leave empty; no row is written, however many there are."""
    for table in _TABLES:
        op.add_column(table, sa.Column("worker", sa.Text))


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_column(table, "worker")
