"""The workers that are connected, and the pictures that go to them."""

from serve_app.remote.fleet.admission import RefusedError
from serve_app.remote.fleet.fleet import Fleet
from serve_app.remote.fleet.member import Member
from serve_app.remote.fleet.picture import Answered
from serve_app.remote.fleet.ports import FleetWatcher, Line
from serve_app.remote.fleet.stats import FleetStats, MemberStats

__all__ = ["Answered", "Fleet", "FleetStats", "FleetWatcher", "Line", "Member", "MemberStats", "RefusedError"]
