"""Late-binding batches under deadlines, for one device: they are formed when it is free (``docs/adr/0003``)."""

from serve_app.batching.batcher import Batcher, BatcherStats
from serve_app.batching.idle_cores import idle_s
from serve_app.batching.pass_costs import PassCosts

__all__ = ["Batcher", "BatcherStats", "PassCosts", "idle_s"]
