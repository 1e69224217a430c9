"""Which workers a fleet takes, and what the others are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.simulated_worker import MODEL, SimulatedWorker
from benchmarks.virtual_time import play
from serve_app.domain import ModelIdentity
from serve_app.remote.fleet import Fleet, RefusedError
from serve_app.remote.messages import PROTOCOL, Hello, Offer, Refusal
from tests.unit.remote.fleet.fleets import GPU

HELLO = Hello(PROTOCOL, "1.2", "desktop", "a card", (Offer(MODEL, GPU.pass_s),))


def joined(*hellos: Hello, owner: str = "owner", **settings) -> list[str]:
    """The names under which workers were taken, one after the other."""

    async def scene() -> list[str]:
        fleet = Fleet([("label",)], **settings)
        try:
            return [fleet.join(hello, SimulatedWorker(GPU), owner).name for hello in hellos]
        finally:
            fleet.close()

    return play(scene())


def with_model(model: ModelIdentity) -> Hello:
    return replace(HELLO, offers=(Offer(model, GPU.pass_s),))


def test_names_are_unique():
    assert joined(HELLO, HELLO, HELLO) == ["owner/desktop", "owner/desktop-2", "owner/desktop-3"]


def test_a_name_is_free_again():
    async def scene():
        fleet = Fleet([("label",)])
        first = fleet.join(HELLO, SimulatedWorker(GPU), "owner")
        first.lost("gone")
        assert fleet.join(HELLO, SimulatedWorker(GPU), "owner").name == first.name
        fleet.close()

    play(scene())


def test_there_are_enough():
    with pytest.raises(RefusedError, match=r"at most 2.*remote.max_workers") as caught:
        joined(HELLO, HELLO, HELLO, max_workers=2)
    assert caught.value.refused.reason is Refusal.FULL


@pytest.mark.parametrize(("protocol", "older"), [(PROTOCOL - 1, "worker"), (PROTOCOL + 1, "front")])
def test_another_protocol(protocol, older):
    with pytest.raises(RefusedError, match=f"upgrade the {older}") as caught:
        joined(replace(HELLO, protocol=protocol))
    assert caught.value.refused.reason is Refusal.PROTOCOL


def test_another_model_than_the_first():
    other = replace(MODEL, name="other", digest="1" * 64)
    with pytest.raises(RefusedError, match=r"other with weights 1{12} .* simulated with weights 0{12}") as caught:
        joined(HELLO, with_model(other))
    assert caught.value.refused.reason is Refusal.MODEL


def test_another_size_of_views():
    with pytest.raises(RefusedError, match=r"at 336 px.* at 224 px"):
        joined(HELLO, with_model(replace(MODEL, image_size_px=336)))


def test_a_converted_model_is_the_same_one():
    converted = replace(MODEL, name="int8", digest="2" * 64, derived_from=MODEL.digest)
    assert len(joined(HELLO, with_model(converted))) == 2


def test_offers_for_other_labels():
    with pytest.raises(RefusedError, match="models for 2 sets of labels"):
        joined(replace(HELLO, offers=HELLO.offers * 2))


@pytest.mark.parametrize("pass_s", [{}, {0: 0.1}, {1: 0.0}, {1: -1.0}, {10**9: 0.1}])
def test_pass_costs_that_cannot_be(pass_s):
    with pytest.raises(RefusedError, match="pass costs"):
        joined(replace(HELLO, offers=(Offer(MODEL, pass_s),)))
