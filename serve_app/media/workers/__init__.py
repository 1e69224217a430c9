"""The owner's side of decoding: a pool of worker processes that can be killed, and who may have the next one.

What runs inside a worker (:mod:`serve_app.media.worker_main`) lies outside this folder, so that a worker starts without
importing it, and asyncio with it.
"""

from serve_app.media.workers.decode_workers import DecodeWorkers

__all__ = ["DecodeWorkers"]
