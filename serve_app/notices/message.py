"""Messages: the paragraphs that one collects, what it is called, and how much of it fits."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serve_app.domain import NoticeKind
from serve_app.logs.redaction import redact

MOST_PARAGRAPHS: Final = 20
"""In one message, so that one that waited for long can still be read."""


class Weight(enum.IntEnum):
    """How much a paragraph matters; the heaviest one names its message."""

    OVER = 0
    NEWS = 1
    WARNING = 2
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One thing that is told: in a few words, and in some lines."""

    kind: NoticeKind
    weight: Weight
    headline: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to one address at a time."""

    title: str
    body: str
    weight: Weight


def message_of(paragraphs: Sequence[Paragraph], left_out: int = 0) -> Message:
    """One message of all ``paragraphs``, which are in the order of their time. No secret of this process is in it.

    Args:
        paragraphs: at least one.
        left_out: how many earlier ones it does not have.
    """
    heaviest = max(paragraphs, key=lambda each: each.weight)  # the first of them
    title = f"Pictwarden: {heaviest.headline}"
    others = len(paragraphs) + left_out - 1
    if others:
        title += f", and {others} more"
    texts = [each.text for each in paragraphs]
    if left_out:
        texts.insert(0, f"Earlier notices that could not be sent are left out: {left_out}.")
    return Message(redact(title), redact("\n\n".join(texts)), heaviest.weight)
