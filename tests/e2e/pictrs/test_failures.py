"""What an uploader of a real pict-rs sees while Pictwarden is away, slow, hung, starting or ending."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from tests.e2e.pictrs.conftest import fake_config
from tests.e2e.pictrs.media import media
from tests.e2e.pictrs.server import PictRs, Upload, running_pictrs
from tests.e2e.pictrs.validating import FOLDER_GONE, NOT_ANSWERED, REFUSED, Validation, scanning, sha256_of
from tests.serve.conftest import RAY, ROOT, SECRET, drawn, free_port, wait_for

SLOW_MS = 3000
DEADLINE_S = 2

pytestmark = pytest.mark.timeout(300)


def test_without_a_service_nothing_is_stored(mode, number):
    with running_pictrs(f"http://127.0.0.1:{free_port()}/api/v1/scan/a-secret", mode) as pictrs:
        body = media("png", number, is_rejected=False)
        assert pictrs.upload(body) == NOT_ANSWERED
        assert pictrs.upload_in_background(body) == Upload(422, NOT_ANSWERED.code, ())
        assert pictrs.hashes() == []
        wait_for(lambda: pictrs.files() == [])


@pytest.fixture
def slow(request, way, tmp_path):
    """A Pictwarden whose every scan takes longer than its deadline."""
    if way == RAY:  # which would not announce a service that cannot scan the sample pictures
        scanner = request.getfixturevalue("scanner")
        (scorer,) = scanner.service.replicas("ClipScorer")
        scorer.suspend()
        try:
            yield scanner
        finally:
            scorer.resume()
    else:
        config = fake_config(tmp_path, f"fake:{SLOW_MS}ms", deadline_s=DEADLINE_S)
        with scanning(config, tmp_path, way) as started:
            yield started


def test_what_is_scanned_too_late_is_refused_and_recorded(slow, races, mode, posted, number):
    with running_pictrs(slow.service.url, mode) as pictrs:
        validation = Validation(pictrs, slow, races, posted)
        body = media("png", number, is_rejected=False)
        upload, decision = validation.upload(body)
        assert upload == Upload(400, REFUSED, ())
        assert (decision.verdict, decision.reason, decision.kept) == (None, "deadline", False)
        validation.require_nothing_stored(decision.sha256)


def test_while_the_service_hangs_nothing_is_stored(scanner, way, races, mode, posted, number):
    """pict-rs gives up; HAProxy answers for an ingress replica that hangs, where pict-rs waits long enough."""
    seen_after_s = {1: NOT_ANSWERED, 12: Upload(400, REFUSED, ())} if way == RAY else {1: NOT_ANSWERED}
    for place, (timeout_s, seen) in enumerate(seen_after_s.items()):
        victim = hanging(scanner, way)
        with running_pictrs(scanner.service.url, mode, MEDIA__EXTERNAL_VALIDATION_TIMEOUT=str(timeout_s)) as pictrs:
            body = media("png", number + 2 * place, is_rejected=False)
            victim.suspend()
            try:
                upload = pictrs.upload(body)
            finally:
                victim.resume()
            assert upload == seen
            Validation(pictrs, scanner, races).require_nothing_stored(sha256_of(posted(body)))
            until_stored(pictrs, media("png", number + 2 * place + 1, is_rejected=False))


def hanging(scanner, way):
    """The process that is to hang: the one, or the ingress replica."""
    return scanner.service.replicas("Ingress")[0] if way == RAY else psutil.Process(scanner.service.process.pid)


def until_stored(pictrs, body):
    """A front end avoids for a while what hung."""
    wait_for(lambda: pictrs.upload(body).is_stored)


@dataclass
class Uploaders:
    """Threads that upload one picture after another, none of them twice. Every fourth one is red, which is rejected."""

    pictrs: PictRs
    uploads: list[tuple[str, Upload]] = field(default_factory=list)
    """The colour of each picture, and what its uploader saw."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def at_work(self):
        threads = [threading.Thread(target=self._upload) for _ in range(4)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._is_over.set()
            for each in threads:
                each.join()

    def wait_for(self, wanted):
        """Until some more uploads end in a way."""
        begin = len(self.uploads)
        wait_for(lambda: sum(wanted(upload) for _, upload in self.uploads[begin:]) >= 5, 120)

    def _upload(self):
        while not self._is_over.is_set():
            number = next(self._numbers)
            colour = "red" if number % 4 == 0 else "blue"
            upload = self.pictrs.upload(drawn(colour, size=(64 + number % 1000, 40 + number // 1000)))
            self.uploads.append((colour, upload))
            if not upload.is_stored:
                self._is_over.wait(0.05)  # a start needs the processor more than refused uploads do


def test_under_uploads_it_starts_drains_and_is_started_again(way, mode, tmp_path):
    """From the first moment to the last nothing is stored that was not accepted, and no file is decided on twice."""
    config = fake_config(tmp_path)
    with running_pictrs(f"http://127.0.0.1:{config['http_options']['port']}/api/v1/scan/{SECRET}", mode) as pictrs:
        uploaders = Uploaders(pictrs)
        with contextlib.ExitStack() as stack:
            with uploaders.at_work():
                uploaders.wait_for(is_not_answered)
                with scanning(config, tmp_path, way):
                    uploaders.wait_for(is_stored)
                uploaders.wait_for(is_not_answered)
                scanner = stack.enter_context(scanning(config, tmp_path, way))
                uploaders.wait_for(is_stored)
            scanner.mark()
            decisions = scanner.decisions()
        not_stored = (Upload(400, REFUSED, ()), NOT_ANSWERED, FOLDER_GONE)
        for colour, upload in uploaders.uploads:
            assert (upload.is_stored and colour == "blue") or upload in not_stored
        accepted = {each.sha256 for each in decisions if each.verdict == "accept" and each.kept}
        for each in pictrs.hashes():
            assert each["hex"][:64] in accepted
        # On Ray Serve, each start scans the sample pictures.
        uploaded = Counter(each.sha256 for each in decisions if each.sha256 not in samples())
        assert max(uploaded.values()) == 1


def samples():
    return {sha256_of(each.read_bytes()) for each in (ROOT / "serve_app/cli/samples").iterdir()}


def is_stored(upload):
    return upload.is_stored


def is_not_answered(upload):
    return upload == NOT_ANSWERED
