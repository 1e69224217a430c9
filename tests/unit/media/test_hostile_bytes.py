"""Which bodies are remembered for having cost workers, and for how long."""

from serve_app.media.hostile import HostileBytes


def test_one_loss_is_bad_luck_and_two_are_not():
    hostile = HostileBytes()
    assert b"picture" not in hostile
    hostile.strike(b"picture")
    assert b"picture" not in hostile
    hostile.strike(b"picture")
    assert b"picture" in hostile
    assert b"picturf" not in hostile


def test_a_success_clears_a_loss():
    hostile = HostileBytes()
    hostile.strike(b"picture")
    hostile.clear(b"picture")
    hostile.clear(b"never seen")
    hostile.strike(b"picture")
    assert b"picture" not in hostile


def test_the_longest_unseen_is_forgotten_first():
    hostile = HostileBytes(max_bodies=2)
    for body in (b"first", b"second"):
        hostile.strike(body)
        hostile.strike(body)
    assert b"first" in hostile  # seen again
    hostile.strike(b"third")
    assert b"second" not in hostile
    assert b"first" in hostile
