"""The announcement: a service whose samples were not scanned is not announced."""

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from serve_app.cli.launch.announcement import announce
from serve_app.domain import UnavailableError
from serve_app.settings.presets import PRESETS, Preset

# Not one of the addresses for which no proxy is asked in any case.
HOST = "127.0.0.2"

ACCEPTED = (200, b'{"verdict": "accept", "reason": "policy", "message": "fine", "notice": "a demo [only]"}')
LATE = (503, b'{"verdict": null, "reason": "deadline", "message": "scanning took too long"}')
TOO_LARGE = (413, b'{"verdict": null, "reason": "too_large", "message": "over the limit"}')


@contextmanager
def answering(*answers):
    """A service that gives these answers, the last one again and again; and its URL."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Says nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://{HOST}:{server.server_port}/api/v1/scan/secret"
        server.shutdown()
        thread.join()


def announced(url, preset=None, *, at_a_terminal=True):
    printed = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: at_a_terminal)
        announce(url, 3.0, Console(file=printed, width=100), preset, Path("/state/url"))
    return printed.getvalue()


def test_a_service_that_scans_is_announced_with_its_line(capsys):
    with answering(ACCEPTED) as url:
        said = announced(url)
    assert "ready after 3 s" in said
    assert "NOTE: a demo [only]" in said
    assert capsys.readouterr().out == f"PICTRS__MEDIA__EXTERNAL_VALIDATION={url}\n"


def test_a_log_has_no_secret_but_the_file_that_has_it(capsys):
    with answering(ACCEPTED) as url:
        said = announced(url, at_a_terminal=False)
    assert said.endswith("the URL for pict-rs, with its secret, is in /state/url\n")
    assert url not in said + capsys.readouterr().out


def test_a_preset_says_of_itself_what_it_is(capsys):
    with answering(ACCEPTED) as url:
        said = announced(url, PRESETS["demo"])
    assert f"{PRESETS['demo']}\n" in said
    assert "NOTE: a demo [only]" in said


def test_a_notice_of_the_presets_line_is_not_said_again(capsys):
    preset = PRESETS["two-step"]
    answer = json.dumps({"verdict": "accept", "reason": "policy", "message": "fine", "notice": preset.notices[0]})
    with answering((200, answer.encode())) as url:
        said = announced(url, preset)
    assert said.count(preset.notices[0]) == 1


def test_rules_of_several_kinds_are_told_apart(capsys):
    preset = Preset("mine", "p.yaml", (), "much", "little", ("stand-in: the rule a", "real: the rule b"))
    with answering(ACCEPTED) as url:
        said = announced(url, preset).splitlines()
    at = said.index(str(preset))
    assert said[at + 1 : at + 3] == ["stand-in: the rule a", "real: the rule b"]


def test_a_service_that_scans_nothing_is_no_success(capsys):
    with answering(LATE) as url, pytest.raises(UnavailableError) as raised:
        announced(url)
    assert str(raised.value) == (
        "the service is stopped, because 4 of 4 sample pictures were not scanned (deadline: scanning took too long)"
    )
    assert capsys.readouterr().out == ""


def test_a_sample_that_was_late_once_has_a_second_try(capsys):
    with answering(LATE, ACCEPTED) as url:
        said = announced(url)
    assert "none" not in said
    assert capsys.readouterr().out != ""


def test_limits_that_refuse_a_sample_are_the_operators_choice(capsys):
    with answering(TOO_LARGE) as url:
        assert "none (too_large)" in announced(url)
    assert capsys.readouterr().out != ""


def test_a_proxy_of_the_environment_has_no_part_in_it(monkeypatch, capsys):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(ACCEPTED) as url:
        announced(url)
    assert capsys.readouterr().out != ""
