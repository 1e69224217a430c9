"""Which bodies are remembered for having cost workers, and for how long."""

from serve_app.media.workers.hostile import HostileBytes


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


def test_a_body_is_innocent_again_some_time_after_its_last_strike():
    now_s = [100.0]
    hostile = HostileBytes(forgotten_after_s=10, clock=lambda: now_s[0])
    hostile.strike(b"picture")
    now_s[0] += 9
    hostile.strike(b"picture")
    now_s[0] += 9
    assert b"picture" in hostile
    now_s[0] += 1
    assert b"picture" not in hostile
    hostile.strike(b"picture")
    assert b"picture" not in hostile
