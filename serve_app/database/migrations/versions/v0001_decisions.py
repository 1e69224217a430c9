"""The ledger: decisions, what was seen, the audit, and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OLDEST_COMPATIBLE = 1


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "schema_version",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("oldest_compatible", sa.Integer, nullable=False),
    )
    op.create_table(
        "contexts",
        sa.Column("context", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model_key", sa.BigInteger, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("model_digest", sa.Text, nullable=False),
        sa.Column("model_image_size_px", sa.Integer, nullable=False),
        sa.Column("model_notice", sa.Text),
        sa.Column("model_derived_from", sa.Text),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("policy_digest", sa.Text, nullable=False),
        sa.Column("labels", sa.BigInteger),
    )
    op.create_table(
        "label_sets",
        sa.Column("labels", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("texts", sa.Text, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("decided_at_us", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("body_bytes", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("rule", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("explanation", sa.Text),
        sa.Column("kept", sa.Boolean, nullable=False),
        sa.Column("is_pending", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("done_at_us", sa.BigInteger),
        sa.Column("done_how", sa.Text),
        sa.Column("elapsed_ms", sa.Float, nullable=False),
        sa.Column("preprocess_ms", sa.Float),
        sa.Column("score_ms", sa.Float),
        sa.Column("context", sa.BigInteger, nullable=False),
        sa.Column("lists_version", sa.BigInteger, nullable=False),
        sa.Column("media_type", sa.Text),
        sa.Column("views_seen", sa.Integer),
        sa.Column("frames_seen", sa.Integer),
        sa.Column("frames_total", sa.Integer),
        sa.Column("is_truncated", sa.Boolean),
    )
    op.create_index("decisions_by_time", "decisions", ["decided_at_us", "request_id"])
    op.create_index("decisions_by_body", "decisions", ["sha256", "decided_at_us"])
    is_pending = sa.column("is_pending").is_(True)
    op.create_index(
        "decisions_pending",
        "decisions",
        ["decided_at_us", "request_id"],
        sqlite_where=is_pending,
        postgresql_where=is_pending,
    )
    op.create_table(
        "label_scores",
        sa.Column("sha256", sa.LargeBinary, primary_key=True),
        sa.Column("model_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
        sa.Column("context", sa.BigInteger, nullable=False),
        sa.Column("logit_scale", sa.Float, nullable=False),
        sa.Column("cosines", sa.LargeBinary, nullable=False),
        sa.Column("places", sa.LargeBinary, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("frames_seen", sa.Integer, nullable=False),
        sa.Column("frames_total", sa.Integer, nullable=False),
        sa.Column("is_truncated", sa.Boolean, nullable=False),
    )
    op.create_index("label_scores_by_time", "label_scores", ["recorded_at_us"])
    op.create_table(
        "fingerprints",
        sa.Column("sha256", sa.LargeBinary, primary_key=True),
        sa.Column("frames", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("entry", sa.Integer, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Leave nothing."""
    tables = ("leases", "audit", "fingerprints", "label_scores", "decisions", "label_sets", "contexts")
    for table in (*tables, "schema_version"):
        op.drop_table(table)
