"""Whether a decision is lost whose answer was sent, when the service, a replica of it or its database is killed.

Bodies that the service knows come at a fixed rate. In the middle of it everything gets SIGKILL: the service in one
process, which is started again at once; PostgreSQL, which is started again after some seconds; one of two ingress
replicas on Ray Serve. Afterwards every answer that the client has received in full must be in the database, or in a
spool that the next process takes back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from benchmarks import load
from benchmarks.bodies import MakeBody
from benchmarks.checks import validity
from benchmarks.decision_parts.part import KNOWN_PICTURES, Options, Part, known_bodies
from benchmarks.decision_parts.services import location_in, recorded_ids, serving
from benchmarks.faults import KILLED_INGRESS, strike, under_load
from benchmarks.load import Target
from benchmarks.outcomes import LATE_S
from benchmarks.postgres import running_server, server_folder
from benchmarks.processes import kill_tree
from benchmarks.record import Check, at_most
from benchmarks.recovery import Struck, recovered, recovery_table
from benchmarks.served import Replicas, served, wait_until
from benchmarks.servers import Home
from serve_app.database.location import Location, locate

PER_S = 100.0

_PICTURE_BYTES = 20_000
_DURATION_S = 24.0
_DURATION_INGRESS_S = 40.0  # a replica on Ray Serve is whole again later
_DATABASE_GONE_S = 3.0

# A live process looks for the spools of dead ones every 30 s.
_RECORDED_WITHIN_S = 45.0

_REPLICAS = Replicas(2)
SERVICE, _POSTGRESQL = "the service is killed", "PostgreSQL is killed"


def measure(options: Options) -> Part:
    """All three, or two where PostgreSQL is not installed: its checks then do not hold."""
    make_body = known_bodies(_PICTURE_BYTES, options.seed)
    arrivals_s = load.poisson_arrivals_s(PER_S, _DURATION_S, options.seed)
    found = [
        _kill_service(options.home("killed"), make_body, arrivals_s),
        *_kill_postgresql(options.home("postgresql"), make_body, arrivals_s),
        # The last one: it changes this process's environment.
        _kill_ingress(make_body, load.poisson_arrivals_s(PER_S, _DURATION_INGRESS_S, options.seed)),
    ]
    struck = [each for each, _ in found]
    checks = [check for each, lost in found for check in loss_checks(each, lost)]
    if not any(each.load.name == _POSTGRESQL for each in struck):
        checks.append(at_most(f"{_POSTGRESQL}: answered decisions that are lost", None, 0))
    checks += validity([each.load for each in struck])
    return [recovery_table(f"Killed under {PER_S:.0f} uploads a second of known bytes", struck)], checks


def loss_checks(struck: Struck, lost: int) -> list[Check]:
    """That no decision is lost, and that answers go on."""
    of, fault = struck.load, struck.load.name
    checks = [
        at_most(f"{fault}: answered decisions that are lost, of {len(_answered(struck))}", lost, 0),
        recovered(struck),
        at_most(f"{fault}: answers later than {LATE_S} s", of.late, 0),
    ]
    # Nobody answers while the only process is being started again.
    if fault != SERVICE:
        checks.append(at_most(f"{fault}: requests that failed", of.failed, 0))
    return checks


def _kill_service(home: Home, make_body: MakeBody, arrivals_s: Sequence[float]) -> tuple[Struck, int]:
    with contextlib.ExitStack() as ended:
        service = ended.enter_context(serving(home, {}))

        def kill_and_start_again() -> bool:
            kill_tree(service.process)
            service.process.wait()
            ended.enter_context(serving(home, {}))
            return True

        target = _known(service.url, make_body)
        struck = under_load(SERVICE, target, arrivals_s, kill_and_start_again)
    return struck, _lost(struck, location_in(home))


def _kill_postgresql(home: Home, make_body: MakeBody, arrivals_s: Sequence[float]) -> list[tuple[Struck, int]]:
    programs = server_folder()
    if programs is None:
        return []
    with running_server(programs) as server:

        def kill_and_start_again() -> bool:
            server.kill()
            time.sleep(_DATABASE_GONE_S)
            server.start()
            return True

        url = server.url("postgres")
        with serving(home, {"ledger": url}) as service:
            target = _known(service.url, make_body)
            struck = under_load(_POSTGRESQL, target, arrivals_s, kill_and_start_again)
        return [(struck, _lost(struck, Location(home.folder / ".pictwarden", url=url)))]


def _kill_ingress(make_body: MakeBody, arrivals_s: Sequence[float]) -> tuple[Struck, int]:
    with served("fake:20ms", 4) as (cluster, service):
        service.deploy(_REPLICAS)
        struck = strike(cluster, service, KILLED_INGRESS, _known(service.url, make_body), arrivals_s)
        location = locate(None)
        if location is None:
            raise ValueError("the service records nothing")
        wait_until(lambda: not _lost(struck, location), _RECORDED_WITHIN_S)
        return struck, _lost(struck, location)


def _known(url: str, make_body: MakeBody) -> Target:
    """A service that has scanned the bodies which it will be sent."""
    target = Target(url, make_body)
    load.each_in_turn(target, KNOWN_PICTURES)
    return target


def _answered(struck: Struck) -> set[str]:
    """The ids of the decisions that the client was told."""
    return {each.request_id for each in struck.load.outcomes if each.is_scanned and each.request_id}


def _lost(struck: Struck, location: Location) -> int:
    return len(_answered(struck) - recorded_ids(location))
