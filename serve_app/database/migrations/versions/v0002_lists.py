"""The lists: banks, entries, removals and the version."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 1


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "list_banks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("is_shadow", sa.Boolean, nullable=False),
        sa.Column("is_exportable", sa.Boolean, nullable=False),
    )
    op.create_table(
        "list_entries",
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("bank", sa.Text, nullable=False),
        sa.Column("quality", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("added_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("suspended_at_us", sa.BigInteger),
        sa.Column("is_confirmed", sa.Boolean, nullable=False),
        sa.Column("changed_in", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    fingerprint = ["type", "digest", "kind", "bank"]
    op.create_index("list_entries_by_fingerprint", "list_entries", fingerprint, unique=True)
    op.create_index("list_entries_by_bank", "list_entries", ["bank", "entry"])
    op.create_index("list_entries_by_version", "list_entries", ["changed_in"])
    op.create_table(
        "list_removals",
        sa.Column("entry", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("removed_in", sa.BigInteger, nullable=False),
    )
    op.create_index("list_removals_by_version", "list_removals", ["removed_in"])
    version = op.create_table(
        "list_version",
        sa.Column("lineage", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(version, [{"lineage": uuid.uuid4().hex, "version": 0}])


def downgrade() -> None:
    """Drop the lists, with their entries."""
    for table in ("list_version", "list_removals", "list_entries", "list_banks"):
        op.drop_table(table)
