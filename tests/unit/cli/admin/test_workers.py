"""``pictwarden workers``: which are connected, whether they score, and how one is sent away."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from serve_app.cli.moments import local
from serve_app.domain.workers import StandingIn, WorkersHealth, WorkerState
from tests.unit.cli.admin_service import AdminService, Run, running_admin_service
from tests.unit.connected_workers import SINCE, ShownWorkers, worker


@pytest.fixture
def shown() -> ShownWorkers:
    return ShownWorkers([worker("anna/desktop"), worker("ben/rented card", WorkerState.ON_TRIAL)])


@pytest.fixture
def admin(shown: ShownWorkers) -> Iterator[AdminService]:
    with running_admin_service(workers=shown) as service:
        yield service


def test_workers_are_shown_with_what_they_are_and_do(run: Run) -> None:
    header, anna, ben, what, _ = run("workers").stdout.splitlines()
    assert header.split() == ["worker", "state", "since", "pictures", "in", "flight", "view", "round", "trip"]
    since = SINCE.astimezone().strftime("%m-%d %H:%M:%S").split()
    assert anna.split() == ["anna/desktop", "trusted", *since, "1,234", "3", "1.25", "ms", "41", "ms"]
    assert what == "anna/desktop: cuda: a card, demo@aaaaaaaaaaaa, version 1.2.3"
    assert ben.startswith("ben/rented card")
    assert " on trial " in ben


@pytest.mark.parametrize(
    ("state", "lines"),
    [
        (WorkersHealth(1, standing_in=StandingIn.SERVICE), []),
        (WorkersHealth(1, SINCE), [f"None of them gets pictures, since {local(SINCE)}.", "No picture can be scanned."]),
        (
            WorkersHealth(1, SINCE, StandingIn.SERVICE),
            [
                f"None of them gets pictures, since {local(SINCE)}.",
                "The service scans by itself (remote.fallback).",
            ],
        ),
        (
            WorkersHealth(1, SINCE, StandingIn.FEDI_SAFETY),
            [f"None of them gets pictures, since {local(SINCE)}.", "Workers of fedi-safety scan uploads."],
        ),
    ],
)
def test_it_says_whether_they_score(shown: ShownWorkers, run: Run, state: WorkersHealth, lines: list[str]) -> None:
    shown.state = state
    shown.workers = [worker("anna/desktop", WorkerState.ON_TRIAL), worker("ben/card", WorkerState.LEAVING)]
    assert run("workers").stdout.splitlines()[5:] == lines


def test_a_worker_that_has_just_come_back_gets_pictures(shown: ShownWorkers, run: Run) -> None:
    shown.state = WorkersHealth(2, SINCE)
    assert len(run("workers").stdout.splitlines()) == 5


def test_where_none_is_connected_there_is_no_empty_table(shown: ShownWorkers, run: Run) -> None:
    shown.workers, shown.state = [], WorkersHealth(0, SINCE)
    assert run("workers").stdout == f"No worker is connected, since {local(SINCE)}.\nNo picture can be scanned.\n"
    shown.state = WorkersHealth()
    assert run("workers").stdout == "No worker is connected.\n"


def test_json_is_for_scripts(run: Run) -> None:
    told = json.loads(run("workers", "--json").stdout)
    assert [each["name"] for each in told["workers"]] == ["anna/desktop", "ben/rented card"]
    assert told["workers"][1]["state"] == "on trial"
    assert (told["absent_since"], told["standing_in"]) == (None, "nobody")


def test_a_worker_is_sent_away_by_its_name(shown: ShownWorkers, admin: AdminService, run: Run) -> None:
    told = run("workers", "dismiss", "ben/rented card").stdout
    assert told == f"ben/rented card is dismissed; it had scored 1,234 pictures since {local(SINCE)}.\n"
    assert shown.dismissed == [("ben/rented card", "alice")]
    assert admin.actions()[0] == ("alice", "DELETE /api/v1/admin/workers/ben/rented card")
    assert "no worker anna is connected" in run("workers", "dismiss", "anna", exit_code=2).stderr
    assert [each.name for each in shown.workers] == ["anna/desktop"]


def test_a_service_whose_models_compute_in_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_admin_service() as without:
        monkeypatch.setenv("PICTWARDEN_ADMIN_URL", without.url)
        for command in (("workers",), ("workers", "dismiss", "anna/desktop")):
            assert "pictwarden serve --scorers remote" in run(*command, exit_code=2).stderr
