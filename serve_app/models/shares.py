"""How CPU threads divide a batch: together, layer by layer, or each its share of the views from end to end.

Threads that compute a layer together wait for the slowest after each one. A service has its other work on the same
cores, which interrupts now one thread and now the other, and all wait each time; alone, no thread waits before the
end. Even on an idle machine shares are faster (``docs/models.md``). One view is computed together, soonest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# With fewer, together is sooner: two views take two threads 31 ms together and 43 ms alone, three views 37 and 53 ms
# (ViT-B-32 in bf16, AMX), because of three one thread has two to compute while the other is done.
_LEAST_VIEWS_PER_THREAD = 2


def shares(views: NDArray[np.uint8], threads: int) -> list[NDArray[np.uint8]]:
    """What each thread computes alone, in order; a single element is for all threads together.

    Args:
        views: uint8, ``(views, size_px, size_px, 3)``.
        threads: how many compute.
    """
    if threads == 1 or len(views) < _LEAST_VIEWS_PER_THREAD * threads:
        return [views]
    return np.array_split(views, threads)
