"""A class that the language does not have yet: a field of it needs no more than an annotation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from serve_app.policy.diagnostics import Report
from serve_app.policy.document import read_document
from serve_app.policy.mappings import Reading, Several, diagnostics, mapping


@dataclass(frozen=True)
class Head:
    file: str
    bins: Annotated[Several[int], Field(alias="scores")]
    shadow: bool = False


HEADS: TypeAdapter[Head] = TypeAdapter(Annotated[Head, mapping(Head, "a head", "it has the keys file and scores")])


def read(text: str) -> Head:
    return HEADS.validate_python(read_document(Report("h.yaml", text)), context=Reading(Report("h.yaml", text), Path()))


def errors(text: str) -> list[tuple[int, int, str]]:
    report = Report("h.yaml", text)
    try:
        HEADS.validate_python(read_document(report), context=Reading(report, Path()))
    except ValidationError as error:
        report.diagnostics += diagnostics(error)
    return [(each.span.line, each.span.column, each.message) for each in report.diagnostics]


def test_the_keys_are_the_fields_under_their_aliases() -> None:
    assert read("file: a.npz\nscores: [1, 2]\nshadow: yes\n") == Head("a.npz", (1, 2), shadow=True)
    assert errors("file: a.npz\nbins: [1]\nshdow: yes\n") == [
        (2, 1, "unknown key 'bins' in a head"),
        (3, 1, "unknown key 'shdow' in a head"),
        (1, 1, "a head lacks the key 'scores'"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", (1, 1, "a head must be a mapping, found an empty list")),
        ("{file: a, scores: []}", (1, 19, "'scores' must not be empty")),
        ("{file: a, scores: 5}", (1, 19, "'scores' must be a list, found the number '5'")),
        (
            "{file: a, scores: [1], shadow: maybe}",
            (1, 32, "'shadow': Input should be a valid boolean, unable to interpret input"),
        ),
    ],
)
def test_errors_that_are_pydantics_own_have_a_place_and_a_name(text: str, expected: tuple[int, int, str]) -> None:
    assert errors(text) == [expected]
