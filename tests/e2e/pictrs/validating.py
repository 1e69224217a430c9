"""Pictures on their way through both: uploaded to pict-rs, decided on by Pictwarden, and looked up in its ledger.

pict-rs now and then posts an empty or a cut body, because it reads its file before the last write has reached it. And
an upload fails before pict-rs asks, if another one's refused file is removed at that moment together with the folder
that both were to lie in. Such an upload says nothing about us: it is counted, forgotten, and sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from serve_app.admin_api import ADMIN_PATH, ADMIN_SECRETS_ENV, MOST_AT_ONCE, DecisionRecord, Decisions
from tests.e2e.pictrs.server import PictRs, Upload
from tests.serve.conftest import (
    ONE_PROCESS,
    Service,
    environment_of_a_service,
    free_port,
    running,
    wait_for,
)

MAX_RACES = 3
"""In a row, of one picture: more are no race."""

REFUSED = "failed-external-validation"
"""pict-rs's code for an upload that was answered with anything but 2xx."""

NOT_ANSWERED = Upload(500, "http-client-error", ())
"""What an uploader sees of an upload that was not answered."""

FOLDER_GONE = Upload(500, "not-found", ())
"""What an uploader sees of an upload whose folder was removed with another one's file."""

ADMIN_SECRET = "alice:a-secret-of-an-admin-of-the-tests"
_WEBM = b"\x1a\x45\xdf\xa3"
_MARKS = itertools.count()

Send = Callable[[bytes], Upload]


@dataclass(frozen=True)
class Scanner:
    """A running Pictwarden, and its ledger as an admin reads it."""

    service: Service
    admin: httpx.Client

    def decisions(self) -> list[DecisionRecord]:
        """All of them, those on the canary last."""
        return [*self._decisions(canary="false"), *self._decisions(canary="true")]

    def _decisions(self, **wanted: str) -> Iterator[DecisionRecord]:
        cursor: dict[str, str] = {}
        while True:
            answer = self.admin.get("/decisions", params={"limit": MOST_AT_ONCE, **wanted, **cursor})
            assert answer.status_code == 200, f"{answer.text}\n{self.service.log_text()[-4000:]}"
            page = Decisions.model_validate_json(answer.text)
            yield from page.decisions
            if page.cursor is None:
                return
            cursor = {"cursor": page.cursor}

    def mark(self) -> str:
        """Send what is no picture; when the decision on it is there, those before it are. The id of the decision."""
        answer = self.service.scan(f"mark {next(_MARKS)}".encode())
        request_id: str = answer.json()["request_id"]
        wait_for(lambda: self.admin.get(f"/decisions/{request_id}").status_code == 200)
        return request_id

    def forget(self, sha256: str) -> None:
        """Erase the decisions on these bytes."""
        answer = self.admin.post("/forget", json={"sha256": sha256})
        assert answer.json().get("done"), answer.text


@contextlib.contextmanager
def scanning(config: dict[str, Any], folder: Path, way: str = ONE_PROCESS, **secrets: str) -> Iterator[Scanner]:
    """Pictwarden with a listener for admins, from its start to its end. ``secrets``: more of its environment."""
    args = config["applications"][0]["args"]
    args["admin"] = {"port": args.get("admin", {}).get("port") or free_port()}
    env = environment_of_a_service(**{ADMIN_SECRETS_ENV: ADMIN_SECRET}, **secrets)
    url = f"http://127.0.0.1:{args['admin']['port']}{ADMIN_PATH}"
    headers = {"authorization": f"Bearer {ADMIN_SECRET.partition(':')[2]}"}
    with (
        running(config, folder, way, env=env) as service,
        httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as admin,
    ):
        wait_for(lambda: _is_answering(admin))
        yield Scanner(service, admin)


def _is_answering(admin: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return admin.get("/ledger").status_code == 200
    return False


@dataclass
class Races:
    """How many bodies pict-rs was to post, and how many of them were not, or were empty or cut."""

    bodies: int = 0
    races: int = 0


@dataclass(frozen=True)
class Validation:
    """A pict-rs and the Pictwarden that it asks. The ledger does not say who asked: one picture at a time."""

    pictrs: PictRs
    scanner: Scanner
    races: Races
    posted: Callable[[bytes], bytes] = field(default=lambda body: body)
    """What pict-rs posts of a file: in dummy mode the file itself."""

    def upload(self, body: bytes, send: Send | None = None) -> tuple[Upload, DecisionRecord]:
        """Upload a picture; again, when pict-rs posted something else than what it stores.

        Args:
            body: of the file.
            send: how; by default as Lemmy does.

        Returns:
            what the uploader saw, and the one decision on it, which is on the bytes that pict-rs stores.
        """
        posted = self.posted(body)
        for _ in range(MAX_RACES):
            before = self.seen()
            upload = (send or self.pictrs.upload)(body)
            decisions = self.decided_since(before, 1)
            assert len(decisions) <= 1, f"pict-rs asked once, and there are {len(decisions)} decisions"
            if not self.count_races(decisions, 1, posted):
                return upload, decisions[0]
            is_pending = any(each.pending for each in decisions)
            assert is_pending or upload.code == REFUSED or upload == FOLDER_GONE
            for each in decisions:
                self.scanner.forget(each.sha256)  # a hunt or a rescan would find the part
        raise AssertionError(f"pict-rs posted no body, or an empty or cut one, {MAX_RACES} times in a row")

    def seen(self) -> frozenset[str]:
        """The ids of the decisions so far."""
        return frozenset(each.id for each in self.scanner.decisions())

    def decided_since(self, before: frozenset[str], bodies: int) -> list[DecisionRecord]:
        """The decisions since ``before`` on so many bodies; fewer, where some were refused before a decision."""

        def new() -> list[DecisionRecord]:
            return [each for each in self.scanner.decisions() if each.id not in before]

        if len(found := new()) < bodies:
            mark = self.scanner.mark()
            found = [each for each in new() if each.id != mark]
        return found

    def count_races(self, decisions: Sequence[DecisionRecord], bodies: int, *posted: bytes) -> int:
        """How many of the bodies have no decision, since they were empty or not sent, or are a part of ``posted``."""
        others = [decision for decision in decisions if not any(_is_on(decision, each) for each in posted)]
        parts, longest_bytes = len(others), max(map(len, posted))
        assert all(each.body_bytes < longest_bytes for each in others), "pict-rs posted other bytes than it stores"
        self.races.bodies += bodies
        self.races.races += parts + bodies - len(decisions)
        return parts + bodies - len(decisions)

    def require_nothing_stored(self, sha256: str) -> None:
        """These bytes have no alias, and are no file: pict-rs removes it a little later."""
        assert self.pictrs.aliases_of(sha256) == []
        wait_for(lambda: not self.pictrs.has_file(sha256))


def sha256_of(body: bytes) -> str:
    """As the ledger has it."""
    return hashlib.sha256(body).hexdigest()


def _is_on(decision: DecisionRecord, posted: bytes) -> bool:
    """Whether a decision is on these bytes; of a WebM on as many, for ffmpeg gives each one an id by chance."""
    is_drawn_id = posted.startswith(_WEBM) and decision.media_type == "video/webm"
    return decision.sha256 == sha256_of(posted) or (is_drawn_id and decision.body_bytes == len(posted))
