"""The tables as this version knows them. ``migrations/`` makes them, and a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, nullable=False),
    # The oldest version of the tables whose programs may still run on these.
    Column("oldest_compatible", Integer, nullable=False),
)

# The model, the policy and the labels of decisions: a row for each set of them, and not for each decision. The key is
# the first 64 bits of a digest over the rest of the row.
contexts = Table(
    "contexts",
    metadata,
    Column("context", BigInteger, primary_key=True, autoincrement=False),
    Column("model_key", BigInteger, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("model_image_size_px", Integer, nullable=False),
    Column("model_notice", Text),
    Column("model_derived_from", Text),
    Column("model_parts", Text),  # JSON: the models that scored together, which the model's digest covers
    Column("policy", Text, nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("labels", BigInteger),  # of label_sets
)

label_sets = Table(
    "label_sets",
    metadata,
    Column("labels", BigInteger, primary_key=True, autoincrement=False),
    Column("texts", Text, nullable=False),  # a JSON list
)

decisions = Table(
    "decisions",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("decided_at_us", BigInteger, nullable=False),  # since 1970, UTC
    Column("sha256", LargeBinary, nullable=False),
    Column("body_bytes", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("lane", Text),  # null: live, before version 3
    Column("reason", Text, nullable=False),  # policy, listed, or why the picture was not scanned
    Column("verdict", Text),
    Column("rule", Text),
    Column("message", Text, nullable=False),
    Column("explanation", Text),  # JSON: what else explains the outcome
    Column("shadow_judgement", Text),  # JSON: where the policy on trial would have given another verdict
    Column("kept", Boolean, nullable=False),
    Column("is_pending", Boolean, nullable=False, server_default=false()),  # not done yet
    Column("done_at_us", BigInteger),
    Column("done_how", Text),
    Column("elapsed_ms", Float, nullable=False),
    Column("preprocess_ms", Float),
    Column("score_ms", Float),
    Column("worker", Text),  # elsewhere, whose scores were judged
    Column("context", BigInteger, nullable=False),
    Column("lists_version", BigInteger, nullable=False),
    Column("media_type", Text),
    Column("views_seen", Integer),
    Column("frames_seen", Integer),
    Column("frames_total", Integer),
    Column("is_truncated", Boolean),
)
Index("decisions_by_time", decisions.c.decided_at_us, decisions.c.request_id)
Index("decisions_by_body", decisions.c.sha256, decisions.c.decided_at_us)
_is_pending = decisions.c.is_pending.is_(True)
Index(
    "decisions_pending",
    decisions.c.decided_at_us,
    decisions.c.request_id,
    sqlite_where=_is_pending,
    postgresql_where=_is_pending,
)

_shadow_differs = decisions.c.shadow_judgement.is_not(None)
Index(
    "decisions_shadow_differs",
    decisions.c.decided_at_us,
    decisions.c.request_id,
    sqlite_where=_shadow_differs,
    postgresql_where=_shadow_differs,
)

# What a model saw in a body, once for each pair of them, with a retention of its own.
label_scores = Table(
    "label_scores",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("model_key", BigInteger, primary_key=True, autoincrement=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    Column("context", BigInteger, nullable=False),
    Column("logit_scale", Float, nullable=False),
    Column("cosines", LargeBinary, nullable=False),  # compressed float16
    Column("places", LargeBinary, nullable=False),  # compressed
    Column("media_type", Text, nullable=False),
    Column("frames_seen", Integer, nullable=False),
    Column("frames_total", Integer, nullable=False),
    Column("is_truncated", Boolean, nullable=False),
    Column("worker", Text),  # elsewhere, that scored
)
Index("label_scores_by_time", label_scores.c.recorded_at_us)

# The PDQ of every sampled frame of a body. Sensitive, and erased with the last decision on the body.
fingerprints = Table(
    "fingerprints",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("frames", LargeBinary, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("entry", Integer, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
)
Index("audit_by_time", audit.c.at_us, audit.c.action)
Index("audit_by_action", audit.c.action, audit.c.at_us)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
)

list_banks = Table(
    "list_banks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("is_shadow", Boolean, nullable=False),
    Column("is_exportable", Boolean, nullable=False),
)

list_entries = Table(
    "list_entries",
    metadata,
    Column("entry", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("type", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("bank", Text, nullable=False),  # of list_banks
    Column("quality", Integer),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("added_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("suspended_at_us", BigInteger),
    Column("is_confirmed", Boolean, nullable=False),
    Column("changed_in", BigInteger, nullable=False),  # the version of the lists
    # The id of a removed entry is never given to another one: an older index could not tell the two apart.
    sqlite_autoincrement=True,
)
Index(
    "list_entries_by_fingerprint",
    list_entries.c.type,
    list_entries.c.digest,
    list_entries.c.kind,
    list_entries.c.bank,
    unique=True,
)
Index("list_entries_by_bank", list_entries.c.bank, list_entries.c.entry)
Index("list_entries_by_version", list_entries.c.changed_in)
_is_suspended = list_entries.c.suspended_at_us.is_not(None)
Index("list_entries_suspended", list_entries.c.entry, sqlite_where=_is_suspended, postgresql_where=_is_suspended)

list_removals = Table(
    "list_removals",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("removed_in", BigInteger, nullable=False),
)
Index("list_removals_by_version", list_removals.c.removed_in)

list_version = Table(
    "list_version",
    metadata,
    Column("lineage", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    # Of these versions and earlier ones, no list_removals are left.
    Column("removals_forgotten_to", BigInteger, nullable=False, server_default="0"),
)

# Which version the lists had at some moments: how old a removal is.
list_version_times = Table(
    "list_version_times",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
)

# The stores that `pictwarden storage scan` has looked into. The key is the first 64 bits of a digest of the URL.
storage_sources = Table(
    "storage_sources",
    metadata,
    Column("source", BigInteger, primary_key=True, autoincrement=False),
    Column("url", Text, nullable=False),
)

# What became of each of their files. A name may be longer than an index takes, and need not be text: hence its digest.
storage_files = Table(
    "storage_files",
    metadata,
    Column("source", BigInteger, primary_key=True, autoincrement=False),  # of storage_sources
    Column("name_key", LargeBinary, primary_key=True),
    Column("name", LargeBinary, nullable=False),
    Column("version", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("sha256", LargeBinary),
    Column("request_id", Text),
    Column("aliases", Text),  # a JSON list
    Column("scanned_at_us", BigInteger, nullable=False),
)
Index("storage_files_by_outcome", storage_files.c.source, storage_files.c.outcome, storage_files.c.name_key)
