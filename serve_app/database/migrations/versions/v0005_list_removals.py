"""Removals of list entries are forgotten after a while, and suspended entries are found without a search of all."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Programs of version 4 rely on removals that stay: none is forgotten within a month of the upgrade, and after that a
# machine with such a program misses some only if it was off for as long.
OLDEST_COMPATIBLE = 4


def upgrade() -> None:
    """Add what programs of earlier versions leave alone."""
    op.create_table(
        "list_version_times",
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    forgotten = sa.Column("removals_forgotten_to", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("list_version", forgotten)
    is_suspended = sa.column("suspended_at_us").is_not(None)
    op.create_index(
        "list_entries_suspended",
        "list_entries",
        ["entry"],
        sqlite_where=is_suspended,
        postgresql_where=is_suspended,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("list_entries_suspended", "list_entries")
    op.drop_column("list_version", "removals_forgotten_to")
    op.drop_table("list_version_times")
