"""Late-binding batches for one device: each is formed at the moment the device is free (``docs/adr/0003``)."""

from serve_app.batching.batcher import Batcher, BatcherStats
from serve_app.batching.idle_cores import idle_s
from serve_app.batching.pass_costs import PassCosts

__all__ = ["Batcher", "BatcherStats", "PassCosts", "idle_s"]
