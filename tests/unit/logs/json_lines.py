"""A log in JSON of everything that this process logs, as the processes of the service write it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

from serve_app.logs.formats import formatter_for
from serve_app.logs.log_format import LogFormat
from serve_app.logs.writer import LogWriter

Lines = Callable[[], list[dict[str, Any]]]


@contextlib.contextmanager
def json_log() -> Iterator[Lines]:
    """Within, gives the lines so far; each must be one JSON object."""
    stream = io.StringIO()
    target = logging.StreamHandler(stream)
    target.setFormatter(formatter_for(LogFormat.JSON, logging.Formatter(), "serve"))
    writer = LogWriter(target)
    root, ours = logging.getLogger(), logging.getLogger("serve_app")
    level = ours.level
    root.addHandler(writer)
    ours.setLevel(logging.INFO)

    def lines() -> list[dict[str, Any]]:
        writer.flush()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    try:
        yield lines
    finally:
        ours.setLevel(level)
        root.removeHandler(writer)
        writer.close()
