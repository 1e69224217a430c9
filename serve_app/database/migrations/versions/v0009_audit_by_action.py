"""The audit by action: whoever recalls scores asks which workers are in doubt, among many entries on other things."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 4


def upgrade() -> None:
    """Add an index."""
    op.create_index("audit_by_action", "audit", ["action", "at_us"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("audit_by_action", "audit")
