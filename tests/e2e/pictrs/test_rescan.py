"""Pictures that a real pict-rs stored unscanned: found, fetched, scanned by a real Pictwarden, and purged."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml

from serve_app.domain import Decision, ModelIdentity, Unscanned, UnscannedReason
from serve_app.ledger import MemoryLedger
from serve_app.pictrs import API_KEY_ENV, Purger, open_pictrs
from serve_app.settings import PictrsSettings
from serve_app.storage import Rescanner, Result, open_door
from tests.e2e.pictrs.server import API_KEY, running_pictrs
from tests.e2e.pictrs.validating import Validation, scanning
from tests.serve.conftest import (
    FAKE_POLICY,
    ONE_PROCESS,
    ROOT,
    drawn,
    environment_of_a_service,
    free_port,
    padded,
    running,
    wait_for,
)

RED_TRIANGLE = (ROOT / "serve_app" / "cli" / "samples" / "red-triangle.png").read_bytes()
MAX_BODY_BYTES = 64_000_000

pytestmark = pytest.mark.parametrize("way", [ONE_PROCESS], indirect=True)


@pytest.fixture(scope="module")
def unguarded(_binary):
    """A pict-rs that asks nobody."""
    with running_pictrs() as started:
        yield started


@contextlib.asynccontextmanager
async def rescanner(unguarded, service, *, is_purging: bool = False) -> AsyncIterator[Rescanner]:
    settings = PictrsSettings(url=unguarded.url)
    async with open_pictrs(settings, {API_KEY_ENV: API_KEY}) as pictrs, open_door(service.url) as door:
        purger = Purger(pictrs, MemoryLedger(), "the tests", 9, lambda: datetime.now(UTC)) if is_purging else None
        yield Rescanner(pictrs, door, MAX_BODY_BYTES, purger)


def let_through(body: bytes) -> Decision:
    return Decision(
        request_id="r-0",
        decided_at=datetime.now(UTC),
        sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
        outcome=Unscanned(UnscannedReason.UNAVAILABLE, "no scorer"),
        kept=True,
        model=ModelIdentity("demo", "a" * 64, 224, None),
        policy="demo",
        policy_digest="c" * 64,
        elapsed_ms=12.5,
    )


async def test_what_passed_is_scanned_and_only_told(unguarded, service):
    accepted, rejected = padded(drawn("blue"), 50_000), padded(RED_TRIANGLE, 50_000)
    aliases = {body: unguarded.upload(body).aliases for body in (accepted, rejected)}
    async with rescanner(unguarded, service) as bench:
        for body, result in ((accepted, Result.ACCEPTED), (rejected, Result.REJECTED)):
            finding = await bench.rescan(let_through(body))
            assert (finding.result, finding.aliases) == (result, aliases[body])
    assert unguarded.original(*aliases[rejected]).content == rejected


@pytest.mark.parametrize("sent_bytes", [8192, 60_000])
async def test_what_is_rejected_is_purged_though_only_a_part_of_it_was_sent(unguarded, service, sent_bytes):
    body = padded(RED_TRIANGLE, 60_000 + sent_bytes % 7)
    (alias,), (other,) = unguarded.upload(body).aliases, unguarded.upload(padded(drawn("blue"), 40_000)).aliases
    async with rescanner(unguarded, service, is_purging=True) as bench:
        finding = await bench.rescan(let_through(body[:sent_bytes]))
        assert (finding.result, finding.aliases) == (Result.PURGED, (alias,))
        assert (await bench.rescan(let_through(body[:sent_bytes]))).result is Result.GONE
    assert unguarded.original(alias).status_code == 404
    assert unguarded.original(other).status_code == 200


def test_what_a_service_let_through_unscanned_is_found_and_purged_by_the_command(service, races, tmp_path):
    folder = Path(psutil.Process(service.process.pid).cwd())
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    rejected, accepted = padded(RED_TRIANGLE, 70_000), padded(drawn("blue"), 70_001)
    with contextlib.ExitStack() as stack:
        overwhelmed = stack.enter_context(scanning(too_slow(config, folder, tmp_path), tmp_path))
        pictrs = stack.enter_context(running_pictrs(overwhelmed.service.url))
        validation = Validation(pictrs, overwhelmed, races)
        aliases = {}
        for body in (rejected, accepted):
            upload, decision = validation.upload(body)
            # The first one is too late; for the second one that is known beforehand.
            assert (decision.verdict, decision.pending) == (None, True)
            assert decision.reason in ("deadline", "overloaded")
            (aliases[body],) = upload.aliases

        config["applications"][0]["args"]["pictrs"] = {"url": pictrs.url}
        (tmp_path / "rescan.yaml").write_text(yaml.safe_dump(config), "utf-8")

        def rescan(*options):
            return subprocess.run(
                [sys.executable, "-m", "serve_app.cli", "rescan", "--config", tmp_path / "rescan.yaml", *options],
                cwd=folder,
                env=environment_of_a_service(**{API_KEY_ENV: API_KEY}),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        first = rescan()
        assert first.returncode == 1, first.stderr
        assert f"rejected     {aliases[rejected]}" in first.stdout
        assert "2 pending decisions: 1 accepted, 1 rejected" in first.stdout
        assert pictrs.original(aliases[rejected]).status_code == 200

        second = rescan("--purge")
        assert second.returncode == 0, second.stderr
        assert "1 pending decision: 1 purged" in second.stdout
        assert pictrs.original(aliases[rejected]).status_code == 404
        assert pictrs.original(aliases[accepted]).content == accepted
        assert "0 pending decisions" in rescan("--purge").stdout


def test_what_a_service_let_through_unscanned_is_purged_by_the_next_one(service, races, tmp_path):
    config = yaml.safe_load((Path(psutil.Process(service.process.pid).cwd()) / "config.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"]["admin"] = {"port": free_port()}
    rejected, accepted = padded(RED_TRIANGLE, 80_000), padded(drawn("blue"), 80_001)
    with contextlib.ExitStack() as stack:
        overwhelmed = stack.enter_context(scanning(too_slow(config, tmp_path, tmp_path), tmp_path))
        pictrs = stack.enter_context(running_pictrs(overwhelmed.service.url))
        validation = Validation(pictrs, overwhelmed, races)
        aliases = {body: validation.upload(body)[0].aliases for body in (rejected, accepted)}
        settings = {"rescan": "purge", "pictrs": {"url": pictrs.url}, "ledger": str(tmp_path / ".pictwarden/ledger.db")}
        config["applications"][0]["args"] |= settings
        environment = environment_of_a_service(**{API_KEY_ENV: API_KEY})
        own = tmp_path / "next"
        own.mkdir()
        rescanning = stack.enter_context(running(config, own, ONE_PROCESS, env=environment))
        wait_for(lambda: all(f"rescan of {alias}:" in rescanning.text for (alias,) in aliases.values()))
        (alias,) = aliases[rejected]
        assert f"rescan of {alias}: purged" in rescanning.text
        assert pictrs.original(alias).status_code == 404
        assert pictrs.original(*aliases[accepted]).content == accepted


def too_slow(config, folder, tmp_path):
    """A service over the same ledger that scans nothing in time, and lets all pictures through."""
    policy = tmp_path / "fake.yaml"
    policy.write_text(FAKE_POLICY, "utf-8")
    config = copy.deepcopy(config)
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"] |= {
        "preset": None,
        "model": {"source": "fake:9000ms"},
        "policy": str(policy),
        "admin": {"port": free_port()},
        "deadline_s": 1.0,
        "on_unscanned": "accept",
        "ledger": str(folder / ".pictwarden" / "ledger.db"),
    }
    return config
