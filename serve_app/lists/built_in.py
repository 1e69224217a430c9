"""The entries that every installation has, whatever its own lists hold: the canary's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from serve_app.domain.canary import CANARY_BANK, CANARY_PDQ, CANARY_REASON
from serve_app.domain.lists import Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists.partition import Partition, partition_of

BUILT_IN: Final[Partition] = partition_of(
    [
        ListEntry(
            id=0,  # stored entries begin at 1
            kind=ListKind.DENY,
            fingerprint=Fingerprint(FingerprintType.PDQ, CANARY_PDQ),
            bank=CANARY_BANK,
            reason=CANARY_REASON,
            added_at=datetime(2026, 11, 26, tzinfo=UTC),
        )
    ]
)
