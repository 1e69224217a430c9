"""The arithmetic of `bench-capacity`: connections, the knee, and processor time by stage."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psutil
import pytest

from benchmarks import load
from benchmarks.bare_pass import Rate
from benchmarks.capacity import agreement, stage_table
from benchmarks.latency import knee, share_in_time
from benchmarks.load import Target, find_capacity
from benchmarks.outcomes import NO_ANSWER, Load, Outcome
from benchmarks.processes import DECODE_WORKERS, FRONT_END, HTTP, RAY, REPLICA, REST, cpu_by_stage_s, stage_of
from serve_app.host.process import name_thread

WINDOW_S = 10.0
TARGET = Target("http://service", bytes)


def load_of(scanned_per_s: int, refused: int = 0) -> Load:
    ended_s = [WINDOW_S * (number + 0.5) / (scanned_per_s * WINDOW_S) for number in range(int(scanned_per_s * 10))]
    scanned = [Outcome(at_s - 0.01, at_s - 0.01, at_s, 200, "accept", "policy") for at_s in ended_s]
    return Load([*scanned, *[Outcome(1, 1, 1, 503, None, "overloaded")] * refused], window_s=WINDOW_S)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch):
    """A service by what it does with so many connections; the numbers that were tried."""

    def install(loads: dict[int, Load]) -> list[int]:
        tried: list[int] = []

        def saturate(target: Target, connections: int, duration_s: float, name: str) -> Load:
            assert (target, duration_s) == (TARGET, 1.0)
            tried.append(connections)
            return replace(loads[connections], connections=connections, name=name)

        monkeypatch.setattr(load, "saturate", saturate)
        return tried

    return install


def capacity(**options: Any) -> Load:
    return find_capacity(TARGET, 1.0, **options)


def test_connections_are_doubled_even_if_a_doubling_gains_nothing(service) -> None:
    tried = service({24: load_of(70), 48: load_of(69), 96: load_of(80), 192: load_of(78)})
    best = capacity()
    assert (tried, best.connections) == ([24, 48, 96, 192], 96)
    assert best.goodput_per_s == pytest.approx(80, rel=0.02)


def test_it_ends_at_the_first_refusal_and_more_that_makes_it_worse_is_not_taken(service) -> None:
    assert service({24: load_of(50), 48: load_of(20, refused=900)}) == []
    assert capacity().connections == 24
    tried = service({24: load_of(50), 48: load_of(70, refused=1)})
    assert capacity().connections == 48
    assert tried == [24, 48]


def test_it_ends_somewhere(service) -> None:
    service({24 << power: load_of(10 * 2**power) for power in range(4)})
    assert capacity().connections == 192


def test_a_number_that_is_given_and_one_that_scans_nothing_are_the_only_ones(service) -> None:
    tried = service({7: load_of(50), 24: load_of(0, refused=9)})
    assert capacity(connections=7).connections == 7
    assert capacity().goodput_per_s == 0
    assert tried == [7, 24]


@pytest.mark.parametrize(
    ("shares", "place"), [([1.0, 0.99, 0.98, 0.5], 1), ([1.0, 0.9, 1.0], 0), ([0.98, 1.0], None), ([1.0, 1.0], 1)]
)
def test_the_knee_is_the_highest_load_up_to_which_the_service_kept_up(shares: list[float], place: int | None) -> None:
    assert knee(shares) == place


def test_in_time_is_scanned_within_the_wanted_time() -> None:
    seen = [Outcome(second, second, second + 0.5, 200, "accept", "policy") for second in range(1, 9)]
    slow = Outcome(9, 9, 11, 200, "accept", "policy")
    others = [Outcome(9.5, 9.5, 9.6, 503, None, "overloaded"), Outcome(10, 10, 40, NO_ANSWER)]
    assert share_in_time(Load([*seen, slow, *others]), within_s=1.0) == pytest.approx(8 / 11)


@pytest.mark.parametrize(
    ("program", "title", "parent", "stage"),
    [
        ("haproxy", "/x/haproxy -f a.cfg", RAY, FRONT_END),
        ("python", "python -I -S -c from deployments.haproxy.supervisor import main", RAY, FRONT_END),
        ("ray::ServeReplic", f"{REPLICA}Ingress", RAY, "ingress"),
        ("ray::ServeReplic", f"{REPLICA}Ingress.handle_request", RAY, "ingress"),
        ("ray::ServeReplic", f"{REPLICA}Preprocessor     ", RAY, "preprocessor"),
        ("ray::ServeReplic", f"{REPLICA}ClipScorer", RAY, "scorer"),
        ("python", "python -c from multiprocessing.spawn import spawn_main", "preprocessor", DECODE_WORKERS),
        ("python", "python -c from multiprocessing.spawn import spawn_main", DECODE_WORKERS, DECODE_WORKERS),
        ("python", "python -c something", "scorer", "scorer"),
        ("ray::ServeContro", "ray::ServeController", RAY, RAY),
        ("raylet", "/x/raylet --port 1", REST, RAY),
        ("python", "python /x/ray/_private/log_monitor.py", REST, RAY),
        ("python", "python -m deployments.run", REST, REST),
    ],
)
def test_a_process_is_of_the_stage_that_it_works_for(program: str, title: str, parent: str, stage: str) -> None:
    assert stage_of(program, title, parent) == stage


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone names threads")
def test_a_service_in_one_process_is_told_by_its_named_threads() -> None:
    with ThreadPoolExecutor(1, initializer=name_thread, initargs=("device",)) as device:
        device.submit(lambda: _use_cpu_s(0.05)).result()
        used = cpu_by_stage_s(psutil.Process())
    assert {"device", "upload", HTTP} <= set(used)
    assert used["device"] >= 0.03
    assert used[HTTP] > 0


def _use_cpu_s(duration_s: float) -> None:
    until_s = time.thread_time() + duration_s
    while time.thread_time() < until_s:
        pass


def test_the_stages_add_up_and_the_bare_pass_is_told_beside_them() -> None:
    of = replace(load_of(10), service_cpu_s={"device": 2.0, "upload": 0.0, HTTP: 1.0})
    rows = {row[0]: row[1] for row in stage_table(of, 12.0).rows}
    assert rows["device"] == pytest.approx(20)
    assert rows["all of the service"] == pytest.approx(30)
    assert rows["around the pass"] == pytest.approx(18)
    assert "upload" not in rows


def test_two_bare_passes_agree_by_their_best_rates() -> None:
    assert agreement({1: Rate(10), 2: Rate(20)}, {1: Rate(25), 2: Rate(3)}) == 0.8
    assert agreement({1: Rate(25)}, {1: Rate(20)}) == 0.8
