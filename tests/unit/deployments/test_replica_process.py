"""A replica's logging as Serve sets it up, on a full disk."""

import errno
import io
import logging
import sys
from logging.handlers import MemoryHandler

import pytest
from ray.serve._private.logging_utils import StreamToLogger

from deployments.replica_process import set_up_replica
from serve_app.settings import LogSettings


class FullDisk(io.StringIO):
    lost = ""

    def write(self, text, /):
        self.lost += text
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def disk():
    return FullDisk()


@pytest.fixture
def serve_logger(monkeypatch, disk):
    """Serve's logger, as in a replica."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger = logging.getLogger("ray.serve")
    target = logging.StreamHandler(disk)
    handler = MemoryHandler(capacity=1, flushLevel=logging.ERROR, target=target)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    yield logger
    target.close()


@pytest.mark.parametrize("name", ["ray.serve", "serve_app.moderation"])
def test_a_line_on_a_full_disk_takes_no_answer_with_it(serve_logger, disk, monkeypatch, name):
    monkeypatch.setattr(sys, "stderr", StreamToLogger(serve_logger, logging.INFO, sys.stderr))
    set_up_replica("ingress", LogSettings())
    logging.getLogger(name).info("request %s: accept", "0" * 32)
    print("and a line of somebody else's", file=sys.stderr)
    serve_logger.handlers[0].target.flush()
    assert "request " in disk.lost


def test_setting_up_twice_changes_nothing(serve_logger):
    set_up_replica("ingress", LogSettings())
    target = serve_logger.handlers[0].target
    set_up_replica("ingress", LogSettings())
    assert serve_logger.handlers[0].target is target
