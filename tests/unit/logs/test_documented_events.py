"""Every event of the service is in docs/logging.md, with its level and its fields, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}
OF_EVERY_LINE = {"request_id", "exc_info"}
ROW = re.compile(r"\| `(?P<event>\w+)` \| (?P<level>info|warning|error) \|(?P<fields>[^|]*)\|")

# Written by what writes the lines, for which it makes records itself.
OF_THE_WRITER = {"lines_lost": ({"warning"}, {"lines"})}


@dataclass
class Events:
    """What the code logs: levels and fields by event, and calls that are none."""

    found: defaultdict[str, tuple[set[str], set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: (set(), set()))
    )
    wrong: list[str] = field(default_factory=list)

    def read(self, source: str, place: str) -> None:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="logger"), attr=method),
                    args=[ast.Constant(value=str(event)), _],
                    keywords=keywords,
                ) if re.fullmatch("[a-z][a-z_]*", event) and all(each.arg for each in keywords):
                    levels, fields = self.found[event]
                    levels.add(LEVELS[method])
                    fields.update(each.arg for each in keywords if each.arg and each.arg not in OF_EVERY_LINE)
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=method)) if method in LEVELS:
                    self.wrong.append(f"{place}:{node.lineno}")
                case ast.Assign(targets=[ast.Name(id="logger")], value=ast.Call(func=ast.Attribute(attr="getLogger"))):
                    self.wrong.append(f"{place}:{node.lineno}")


def events_of_the_service() -> Events:
    events = Events()
    for room in ("serve_app", "deployments"):
        for file in sorted((ROOT / room).rglob("*.py")):
            events.read(file.read_text("utf-8"), str(file.relative_to(ROOT)))
    return events


def test_every_line_is_an_event_with_fields() -> None:
    """``logger = EventLogger(__name__)``, then ``logger.info("what_happened", "in words", its_field=...)``."""
    assert events_of_the_service().wrong == []


def test_the_documentation_has_every_event_and_its_fields() -> None:
    text = (ROOT / "docs" / "logging.md").read_text("utf-8")
    documented = {
        row["event"]: ({row["level"]}, set(re.findall(r"`(\w+)`", row["fields"]))) for row in ROW.finditer(text)
    }
    assert documented == {**events_of_the_service().found, **OF_THE_WRITER}


def test_lines_that_are_no_events_are_found() -> None:
    for source in (
        "logger.info('%s things', 3)",
        "logger.info('Prose.', 'text')",
        "logger.error(name, 'text')",
        "logger.error('name', 'text', **fields)",
        "logger = logging.getLogger(__name__)",
    ):
        events = Events()
        events.read(source, "here")
        assert events.wrong == ["here:1"], source
