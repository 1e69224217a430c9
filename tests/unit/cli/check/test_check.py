"""`pictwarden check`: what is sent, what is shown, and the exit code that a script goes by."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat as stat_module
import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.local_service import store_url
from serve_app.cli.main import app
from tests.unit.cli.conftest import SCAN_PATH

if TYPE_CHECKING:
    from tests.unit.cli.conftest import StandIn


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def write(file: Path, says: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(says, "ascii")
    return file


def json_lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("says", "exit_code"),
    [
        (["accept"], 0),
        (["accept", "flag", "demo"], 0),
        (["reject"], 1),
        (["accept", "reject", "flag"], 1),
        (["broken"], 2),
        (["busy"], 2),
        (["unscanned"], 2),
        (["html"], 2),
        (["other"], 2),
        (["list"], 2),
        (["reject", "broken"], 2),
        (["accept", "reject", "busy", "accept"], 2),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_exit_code_is_that_of_the_worst_answer(
    folder: Path, service: StandIn, says: list[str], exit_code: int, options: tuple[str, ...]
) -> None:
    pictures = [write(folder / f"{place}.png", word) for place, word in enumerate(says)]
    result = check("--url", service.url, *options, *pictures)
    assert result.exit_code == exit_code, result.output


def test_every_picture_is_sent_as_it_is_to_the_scan_url(folder: Path, service: StandIn) -> None:
    pictures = [write(folder / f"{place}.png", f"accept {place}") for place in range(9)]
    check("--url", service.url, "--at-once", 3, *pictures)
    assert sorted(service.bodies) == [f"accept {place}".encode() for place in range(9)]
    assert service.paths == {"/api/v1/scan/secret-of-the-tests"}


def test_json_is_one_object_a_line(folder: Path, service: StandIn) -> None:
    says = ["reject", "accept", "broken", "flag", "html"]
    pictures = [write(folder / f"{place}.png", word) for place, word in enumerate(says)]
    lines = sorted(json_lines(check("--url", service.url, "--json", *pictures)), key=itemgetter("picture"))
    assert [line["picture"] for line in lines] == [str(picture) for picture in pictures]
    assert [line["verdict"] for line in lines] == ["reject", "accept", None, "flag", None]
    assert [line["status"] for line in lines] == [406, 200, 422, 200, 200]
    assert [line["reason"] for line in lines] == ["policy", "policy", "undecodable", "policy", "no_answer"]
    assert (lines[0]["rule"], lines[0]["scores"], lines[3]["margin"]) == ("no-red", {}, 0.25)
    assert lines[1]["scores"] == {"red": 0.125}


@pytest.mark.parametrize("says", ["html", "other", "list"])
def test_a_server_that_is_something_else_is_said_to_be_without_showing_the_secret(
    folder: Path, service: StandIn, says: str
) -> None:
    result = check("--url", service.url, "--json", write(folder / "a.png", says))
    (line,) = json_lines(result)
    assert line["message"].endswith("/api/v1/scan answered 200 and is not Pictwarden: check the scan URL")
    assert "secret-of-the-tests" not in result.output


def test_a_folder_is_searched_in_order_and_what_is_hidden_is_left_out(folder: Path, service: StandIn) -> None:
    for name in ("b/z.png", "b/a.png", "a/deep/er.gif", "c.webp", ".hidden.png", ".git/x.png", "b/.cache/x.png"):
        write(folder / "pictures" / name, "accept")
    lines = json_lines(check("--url", service.url, "--json", "--at-once", 1, "pictures"))
    assert [line["picture"] for line in lines] == [
        "pictures/a/deep/er.gif",
        "pictures/b/a.png",
        "pictures/b/z.png",
        "pictures/c.webp",
    ]


@pytest.mark.parametrize("place", ["../pictures", ".cache/pictures", "."])
def test_a_folder_may_itself_lie_below_a_hidden_one(
    folder: Path, service: StandIn, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    write(Path(place) / "a.png", "reject")
    result = check("--url", service.url, "--json", place)
    assert result.exit_code == 1
    assert len(json_lines(result)) == 1


def test_a_hidden_file_that_is_named_is_sent(folder: Path, service: StandIn) -> None:
    assert check("--url", service.url, write(folder / ".hidden.png", "reject")).exit_code == 1


@pytest.mark.parametrize("name", ["missing.png", "missing[/red].png", "[bold]missing.png"])
def test_a_missing_file_is_named_and_nothing_is_sent(folder: Path, service: StandIn, name: str) -> None:
    result = check("--url", service.url, write(folder / "a.png", "accept"), folder / name)
    assert result.exit_code == 2
    assert f"no such file or folder: {folder / name}" in result.stderr
    assert service.bodies == []


def test_without_a_service_the_way_out_is_shown(folder: Path) -> None:
    result = check(write(folder / "a.png", "accept"))
    assert result.exit_code == 2
    assert "make run" in result.stderr
    assert "PICTWARDEN_URL" in result.stderr
    assert "--url" not in result.stderr, "every user of the machine would see the secret"


def test_the_service_that_was_started_here_is_found(folder: Path, service: StandIn) -> None:
    store_url(service.url)
    assert check(write(folder / "a.png", "reject")).exit_code == 1


def test_the_environment_names_the_service(folder: Path, service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    store_url("http://127.0.0.1:1/nobody/listens")
    monkeypatch.setenv("PICTWARDEN_URL", service.url)
    assert check(write(folder / "a.png", "accept")).exit_code == 0


def test_a_refused_connection_is_an_error_of_each_picture(folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v1/scan/secret"
        result = check("--url", url, "--json", *(write(folder / f"{place}.png", "accept") for place in range(2)))
    assert result.exit_code == 2
    assert [(line["status"], line["reason"]) for line in json_lines(result)] == [(None, "no_answer")] * 2
    for line in json_lines(result):
        assert line["message"].endswith("(Connection refused): is the service running there?")
        assert "secret" not in line["message"]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000/scan", "http://127.0.0.1:port/scan", "ftp://127.0.0.1/scan", "http://"]
)
def test_a_url_that_is_none_is_an_error_and_no_traceback(folder: Path, url: str) -> None:
    result = check("--url", url, "--json", write(folder / "a.png", "accept"))
    assert result.exit_code == 2
    (line,) = json_lines(result)
    assert line["reason"] == "no_answer"
    assert "Error" not in line["message"], "a name of Python's, which means nothing to an admin"
    assert "Protocol" not in line["message"]


def test_a_file_that_cannot_be_read_is_an_error_beside_the_others(folder: Path, service: StandIn) -> None:
    sockets_file = folder / "b.sock"
    with socket.socket(socket.AF_UNIX) as unreadable:
        unreadable.bind("b.sock")
        result = check("--url", service.url, "--json", write(folder / "a.png", "accept"), sockets_file)
    lines = {line["picture"]: line for line in json_lines(result)}
    assert lines[str(folder / "a.png")]["verdict"] == "accept"
    assert lines[str(sockets_file)]["reason"] == "unreadable"
    assert lines[str(sockets_file)]["message"].startswith("cannot be read: ")
    assert result.exit_code == 2


def test_people_get_what_was_not_accepted_a_count_and_the_notice_of_a_demo_model(
    folder: Path, service: StandIn
) -> None:
    for name, says in {"a.png": "accept", "b/b.png": "reject", "c.png": "broken", "d.png": "demo"}.items():
        write(folder / "holiday [2]" / name, says)
    lines = check("--url", service.url, "holiday [2]").stdout.splitlines()
    assert lines[0] == "in holiday [2]:"
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["picture", "verdict", "rule"],
        ["b/b.png", "reject", "no-red"],
        ["c.png", "none", "(undecodable)"],
    ]
    assert lines[4:] == [
        "4 pictures: 2 accepted, 0 flagged, 1 rejected, 1 unscanned",
        "NOTE: demo [only], protects nobody",
    ]


def test_all_shows_accepted_pictures_too(folder: Path, service: StandIn) -> None:
    write(folder / "a.png", "accept")
    write(folder / "b.png", "reject")
    assert "red=0.12" in check("--url", service.url, "--all", "a.png", "b.png").stdout
    assert "a.png" not in check("--url", service.url, "a.png", "b.png").stdout


def test_nothing_but_the_count_is_printed_where_all_are_accepted(folder: Path, service: StandIn) -> None:
    write(folder / "holiday" / "a.png", "accept")
    result = check("--url", service.url, "holiday")
    assert result.stdout == "1 picture: 1 accepted, 0 flagged, 0 rejected, 0 unscanned\n"


def test_without_a_picture_the_usage_is_shown(folder: Path) -> None:
    result = check()
    assert result.exit_code == 2
    assert "Usage" in result.stderr


@pytest.mark.parametrize(("options", "lane"), [([], "live"), (["--background"], "background")])
def test_the_lane_is_told_to_the_service(service: StandIn, folder: Path, options: list[str], lane: str) -> None:
    picture = write(folder / "a.png", "accept")
    assert check("--url", service.url, *options, picture).exit_code == 0
    assert service.lanes == {lane}


def test_a_pipe_that_nobody_writes_to_is_unreadable_and_waits_for_nobody(folder: Path, service: StandIn) -> None:
    os.mkfifo(folder / "pipe.png")
    (line,) = json_lines(check("--url", service.url, "--json", folder / "pipe.png"))
    assert line["reason"] == "unreadable"


def test_a_file_that_became_shorter_while_it_was_sent_is_unreadable_and_waits_for_nobody(
    folder: Path, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, real = write(folder / "a.png", "accept"), Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        fields = list(real(path, **options))
        fields[stat_module.ST_SIZE] += 10
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "stat", stat)
    (line,) = json_lines(check("--url", service.url, "--json", picture))
    assert line["reason"] == "unreadable"
    assert line["message"] == "cannot be read: the file became shorter while it was sent"


def test_tls_to_a_server_without_it_is_no_connection(folder: Path, service: StandIn) -> None:
    url = service.url.replace("http://", "https://")
    (line,) = json_lines(check("--url", url, "--json", write(folder / "a.png", "accept")))
    assert (line["status"], line["reason"]) == (None, "no_answer")
    assert line["message"].endswith("(wrong version number): is the service running there?")


def test_a_proxy_of_the_environment_has_no_part_in_a_service_on_this_machine(
    folder: Path, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert check("--url", service.url, write(folder / "a.png", "accept")).exit_code == 0


def test_a_proxy_of_the_environment_is_asked_for_another_machine(
    folder: Path, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", service.url.removesuffix(SCAN_PATH))
    (line,) = json_lines(check("--url", "http://192.0.2.1/scan/x", "--json", write(folder / "a.png", "accept")))
    assert line["verdict"] == "accept"
    assert service.paths == {"http://192.0.2.1/scan/x"}


def test_a_large_file_is_sent_whole_and_its_name_is_not(folder: Path, service: StandIn) -> None:
    picture = folder / "a.png"
    picture.write_bytes(b"accept " + bytes(1_000_000))
    assert check("--url", service.url, picture).exit_code == 0
    assert [len(body) for body in service.bodies] == [1_000_007]
    assert "a.png" not in str(service.headers)


def test_a_link_to_nothing_is_no_picture_that_was_kept(folder: Path, service: StandIn) -> None:
    (folder / "link.png").symlink_to("nowhere")
    assert check("--url", service.url, folder / "link.png").exit_code == 2


def test_a_busy_service_is_asked_again(folder: Path, service: StandIn) -> None:
    service.busy_for = 3
    result = check("--url", service.url, "--json", write(folder / "a.png", "reject"))
    (line,) = json_lines(result)
    assert (line["verdict"], len(service.bodies), result.exit_code) == ("reject", 4, 1)


def test_a_service_that_stays_busy_is_asked_five_times(folder: Path, service: StandIn) -> None:
    (line,) = json_lines(check("--url", service.url, "--json", write(folder / "a.png", "busy")))
    assert (line["status"], line["reason"], line["retry_after_s"]) == (503, "overloaded", 0.0)
    assert len(service.bodies) == 5


def test_a_service_that_scans_nothing_is_given_up_with_a_line(folder: Path, service: StandIn) -> None:
    for place in range(100):
        write(folder / "pictures" / f"{place:03}.png", "unscanned")
    result = check("--url", service.url, "--json", "pictures")
    assert result.exit_code == 2
    assert 16 <= len(json_lines(result)) < 30
    assert "gave up, because the service scans nothing (stored unscanned)" in result.stderr.replace("\n", " ")
    assert "--resume FILE" in result.stderr


def test_broken_pictures_are_no_reason_to_give_the_service_up(folder: Path, service: StandIn) -> None:
    for place in range(40):
        write(folder / "pictures" / f"{place:03}.png", "broken")
    assert len(json_lines(check("--url", service.url, "--json", "pictures"))) == 40


def run_check(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command as a process of its own, which can be interrupted."""
    return subprocess.Popen(
        [sys.executable, "-m", "serve_app.cli", "check", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_line_is_there_before_the_next_picture_is_answered(folder: Path, service: StandIn) -> None:
    pictures = [write(folder / f"{place}.png", "accept") for place in range(2)]
    command = run_check(folder, "--url", service.url, "--json", "--at-once", 1, *pictures)
    with command:
        assert command.stdout is not None
        first = json.loads(command.stdout.readline())  # the second picture is being sent, or answered, or neither
        assert first["picture"] == str(pictures[0])
        command.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_has_and_goes_on_later(
    folder: Path, service: StandIn, number: signal.Signals
) -> None:
    for place in range(30):
        write(folder / "pictures" / f"{place:02}.png", f"accept {place}")
    journal = folder / "scans.jsonl"
    service.may_answer.clear()
    arguments = ("--url", service.url, "--resume", journal, "--at-once", 2, "pictures")
    with run_check(folder, *arguments) as command:
        assert service.is_asked.wait(30)
        command.send_signal(number)
        # It may not end before what is on its way is answered; and it sends no more than that.
        service.may_answer.set()
        _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "run the same command to continue" in said
    done = journal.read_text("ascii").splitlines()
    assert 1 <= len(done) < 30
    assert check(*arguments).exit_code == 0
    assert sorted(service.bodies) == sorted(f"accept {place}".encode() for place in range(30))
