"""What became of every file that a scan of a store has looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 4


def upgrade() -> None:
    """Add tables that programs of earlier versions leave alone."""
    op.create_table(
        "storage_sources",
        sa.Column("source", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("url", sa.Text, nullable=False),
    )
    op.create_table(
        "storage_files",
        sa.Column("source", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name_key", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("request_id", sa.Text),
        sa.Column("aliases", sa.Text),
        sa.Column("scanned_at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("storage_files_by_outcome", "storage_files", ["source", "outcome", "name_key"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("storage_files")
    op.drop_table("storage_sources")
