"""The parts of ``python -m benchmarks decisions``: each measures one thing about lists and the ledger."""
