"""Lists of known pictures: their entries, an index of them, and what they decide.

    import -> store (SQL) -> partition (arrays, mapped) -> snapshot -> matches

A decision asks one snapshot: its exact entries before anything is decoded, its perceptual ones with the fingerprints
of every frame.
"""

from serve_app.lists.partition import Partition, PartitionBuilder, partition_of
from serve_app.lists.partition_file import IndexFileError, Origin, open_partition, write_partition
from serve_app.lists.snapshot import Snapshot

__all__ = [
    "IndexFileError",
    "Origin",
    "Partition",
    "PartitionBuilder",
    "Snapshot",
    "open_partition",
    "partition_of",
    "write_partition",
]
