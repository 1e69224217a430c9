"""Log lines as text for people or as JSON for programs; the last step of either removes secrets."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from structlog.processors import JSONRenderer
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict

from serve_app.logs.events import OTHER_LINE, Event, traceback_of
from serve_app.logs.log_format import LogFormat
from serve_app.logs.redaction import redact


def formatter_for(wanted: LogFormat, text: logging.Formatter, component: str) -> logging.Formatter:
    """What formats all lines, those of libraries too.

    Args:
        wanted: their form.
        text: how they look where they are text.
        component: the part of the service that this process is.
    """
    if wanted is LogFormat.TEXT:
        return _Redacting(text)
    # Processors come too late for the fields: they no longer see a traceback that is a text already.
    fields = partial(_as_fields, component)
    return ProcessorFormatter(foreign_pre_chain=[fields], processors=[_redacted, JSONRenderer()])


class _Redacting(logging.Formatter):
    """Another formatter, whose lines lose their secrets."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._formatter.format(record))


def _as_fields(component: str, _: object, __: str, told: EventDict) -> EventDict:
    """The fields of a record, in an order that people can read."""
    record: logging.LogRecord = told["_record"]
    event = record.msg if isinstance(record.msg, Event) else Event(OTHER_LINE, told["event"], {})
    at = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, Any] = {
        "timestamp": at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z",
        "level": record.levelname.lower(),
        "event": event.name,
    }
    if event.request_id is not None:
        fields["request_id"] = event.request_id
    if isinstance(event.text, str):
        fields["message"] = event.text
    fields.update(event.fields)
    fields.update(component=component, pid=record.process, logger=record.name)
    if (traceback := traceback_of(record)) is not None:
        fields["exception"] = traceback
    return fields


def _redacted(_: object, __: str, fields: EventDict) -> EventDict:
    plain = {name: _plain(value) for name, value in fields.items()}
    told = "\n".join(_texts(plain))
    # Nearly no line has a secret, and one look through all texts at once is far quicker than one at each.
    return plain if redact(told) == told else {name: _without_secrets(value) for name, value in plain.items()}


def _plain(value: object) -> object:
    """What JSON has a form for."""
    match value:
        case str() | None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case _:
            return str(value)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, each in value.items():
                yield name
                yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)


def _without_secrets(value: object) -> object:
    """The same value. Numbers stay as they are: to take digits out of one would end the JSON."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {redact(name): _without_secrets(each) for name, each in value.items()}
        case list():
            return [_without_secrets(each) for each in value]
        case _:
            return value
