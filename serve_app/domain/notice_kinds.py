"""What notices are about."""

from __future__ import annotations

import enum


class NoticeKind(enum.StrEnum):
    """One thing that admins are told of. The first two are counted by the hour; the others begin, last and end."""

    REJECTED = "rejected"
    UNSCANNED = "unscanned"
    PENDING = "pending"
    SCANNER = "scanner"
    FLOOD_GUARD = "flood_guard"
    HUNT = "hunt"
    PURGE_QUOTA = "purge_quota"
    SOURCE_QUOTA = "source_quota"
    LEDGER = "ledger"
    WORKERS = "workers"
    DISTRUST = "distrust"
