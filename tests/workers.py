"""How a whole run is shared out between two worker processes of pytest-xdist (`make test`).

One worker runs every test with a real service, one after the other: they start Ray, browsers and databases, choose free
ports, and measure. The other one runs the rest beside them, file by file, so that fixtures of a module are made once.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

_WITH_SERVICES = (
    "tests/contract/test_ledger_outages.py",
    "tests/documentation/test_sessions.py",
    "tests/e2e/",
    "tests/faults/",
    "tests/golden/test_confined_decoders.py",
    "tests/serve/",
    "tests/unit/benchmarks/",
    "tests/unit/deployments/",
)


class ServicesInOneWorker(LoadScopeScheduling):  # type: ignore[misc]
    """The files of ``_WITH_SERVICES`` are one unit of work, and each other file is one of its own."""

    def _split_scope(self, nodeid: str) -> str:
        """The unit of work that a test belongs to."""
        file = nodeid.partition("::")[0]
        return "services" if file.startswith(_WITH_SERVICES) else file
