"""Several models that score together."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 1


def upgrade() -> None:
    """Add a column that programs of earlier versions leave empty."""
    op.add_column("contexts", sa.Column("model_parts", sa.Text))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("contexts", "model_parts")
