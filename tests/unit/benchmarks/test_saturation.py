"""Capacity is measured with the number of connections that gains most."""

from __future__ import annotations

import pytest

from benchmarks import saturation
from benchmarks.load import Load
from benchmarks.outcomes import Outcome
from benchmarks.saturation import find_capacity

WINDOW_S = 10.0


def load_of(looked_at_per_s: int, refused: int = 0) -> Load:
    ended_s = [WINDOW_S * (number + 0.5) / (looked_at_per_s * WINDOW_S) for number in range(int(looked_at_per_s * 10))]
    looked_at = [Outcome(at_s - 0.01, at_s - 0.01, at_s, 200, "accept", "policy") for at_s in ended_s]
    return Load([*looked_at, *[Outcome(1, 1, 1, 503, None, "overloaded")] * refused], window_s=WINDOW_S)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch):
    """A service by what it does with so many connections; the numbers that were tried."""

    def install(loads: dict[int, Load]) -> list[int]:
        tried: list[int] = []

        async def saturate(url: str, make_body: object, connections: int, duration_s: float) -> Load:
            assert (url, duration_s) == ("http://service", 1.0)
            tried.append(connections)
            return loads[connections]

        monkeypatch.setattr(saturation, "saturate", saturate)
        return tried

    return install


async def capacity(**options: int) -> saturation.Saturation:
    return await find_capacity("http://service", lambda: [b""], 1.0, **options)


async def test_connections_are_doubled_even_if_a_doubling_gains_nothing(service) -> None:
    tried = service({24: load_of(70), 48: load_of(69), 96: load_of(80), 192: load_of(78)})
    best = await capacity()
    assert (tried, best.connections) == ([24, 48, 96, 192], 96)
    assert best.pictures_per_s == pytest.approx(80, rel=0.02)


async def test_more_that_makes_it_worse_is_not_taken(service) -> None:
    tried = service({24: load_of(50), 48: load_of(20, refused=900)})
    assert (await capacity()).connections == 24
    assert tried == [24, 48]


async def test_it_ends_at_the_first_refusal(service) -> None:
    tried = service({24: load_of(50), 48: load_of(70, refused=1)})
    assert (await capacity()).connections == 48
    assert tried == [24, 48]


async def test_it_ends_somewhere(service) -> None:
    service({24 << power: load_of(10 * 2**power) for power in range(4)})
    assert (await capacity()).connections == saturation.MOST_CONNECTIONS


async def test_a_number_that_is_given_is_the_only_one(service) -> None:
    tried = service({7: load_of(50)})
    assert (await capacity(connections=7)).connections == 7
    assert tried == [7]


async def test_a_service_that_looks_at_nothing_is_not_asked_for_more(service) -> None:
    tried = service({24: load_of(0, refused=9)})
    assert (await capacity()).pictures_per_s == 0
    assert tried == [24]
