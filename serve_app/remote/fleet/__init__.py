"""The workers that are connected, and the pictures that go to them."""

from serve_app.remote.fleet.admission import RefusedError
from serve_app.remote.fleet.fleet import Fleet
from serve_app.remote.fleet.member import Member
from serve_app.remote.fleet.picture import Answered
from serve_app.remote.fleet.stats import FleetStats, MemberStats
from serve_app.remote.fleet.watching import FleetWatcher

__all__ = ["Answered", "Fleet", "FleetStats", "FleetWatcher", "Member", "MemberStats", "RefusedError"]
