"""The audit by time: a quota, a spool that is taken back and the retention of reads look at a part of it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 4


def upgrade() -> None:
    """Add an index."""
    op.create_index("audit_by_time", "audit", ["at_us", "action"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("audit_by_time", "audit")
