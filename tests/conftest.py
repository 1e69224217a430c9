"""What holds for every test: no test fails because the machine is slow, and its place gives it its marker."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("on-a-shared-machine", deadline=None)
settings.load_profile("on-a-shared-machine")

# A shell has its background jobs ignore Ctrl-C, and so would every service that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# numpy's products are small here: on busy cores its threads wait for each other 40 times as long as they compute.
# Before numpy is imported; every process that a test starts has it too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def nothing_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ledger erases what is over by itself: the decisions of tests are old, and some tests slow."""
    monkeypatch.setattr("serve_app.ledger.retaining.RENEWED_EVERY_S", 3600.0)


_TESTS = Path(__file__).parent

# Other slow tests have their marker where they stand.
_MARKERS = {
    "serve": "serve",
    "e2e/browser": "browser",
    "e2e/pictrs": "pictrs",
    "e2e/remote": "slow",
    "faults": "slow",
    "unit/benchmarks/test_commands.py": "slow",
    "unit/cli/launch/test_ending.py": "slow",
    "unit/cli/models/test_model_compare.py": "slow",
    "unit/deployments/haproxy": "slow",
    "unit/models/openvino": "slow",
    "unit/models/test_demo_model.py": "slow",
    "unit/models/test_download.py": "slow",
}


_DEAR = ("browser", "pictrs", "serve", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for place, marker in _MARKERS.items():
            if item.path.is_relative_to(_TESTS / place):
                item.add_marker(marker)
        if not any(item.get_closest_marker(each) for each in _DEAR):
            item.add_marker("fast")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.workers import ServicesInOneWorker

    return ServicesInOneWorker(config, log)
