"""Frames: every message comes back as it was, and nothing else that a stranger sends comes through."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve_app.domain import Lane, MalformedRequestError, ModelIdentity, OnTruncated, UnscannedReason, ViewPlace
from serve_app.domain.limits import MediaLimits
from serve_app.remote.frames import MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADS, from_front, from_worker, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    BodyWork,
    Cancelled,
    Decoding,
    Examined,
    Failed,
    FromFront,
    Hello,
    Leaving,
    Message,
    Offer,
    Ping,
    Pong,
    Refusal,
    Refused,
    Scored,
    Wanted,
    Work,
)

PART = ModelIdentity("ViT-B-32/openai", "ab" * 32, 224, derived_from="cd" * 32)
PIXELS, NO_FACES = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3), np.empty((0, 64, 64, 3), np.uint8)
HEAD = f"head/spam@{'a' * 12}"
WORK = Work(7, 1, 3.25, Lane.BACKGROUND, PIXELS, NO_FACES)
SCORED = Scored(7, np.array([[0.25, np.nan], [-1.0, 1.0]], np.float32), 100.0, 0.125)

EXAMINED = Examined(
    *(
        7,
        SCORED.values,
        100.0,
        0.5,
        0.25,
        (ViewPlace(3, (0.0, 0.25, 1.0, 1.0)),),
        (ViewPlace(3, (0.0, 0.0, 0.5, 0.5)),),
    ),
    *("image/gif", 2, 9, True, ((3, 77),), np.arange(256, dtype=np.uint8).reshape(1, 256)),
)
DECODING = Decoding(1, MediaLimits(max_frames=3), {Lane.LIVE: OnTruncated.SCAN, Lane.BACKGROUND: OnTruncated.REFUSE})

MESSAGES: tuple[Message, ...] = (
    Wanted(PROTOCOL, "0.2.0", "random:ViT-B-32", (("a circle", "ä"), ("open-nsfw/nsfw",)), 8.0),
    Wanted(PROTOCOL, "0.2.0", "fake", ((HEAD,),), 8.0, {HEAD: bytes(range(256))}),
    Wanted(PROTOCOL, "0.2.0", None, (("open-nsfw/nsfw",),), 8.0),
    Hello(PROTOCOL, "0.2.0", "desktop", "NVIDIA", (Offer(ModelIdentity.together([PART, PART]), {1: 0.01, 2: 0.02}),)),
    Accepted("desktop-2"),
    Refused(Refusal.MODEL, "another model"),
    WORK,
    SCORED,
    Failed(7, UnscannedReason.OVERLOADED, "no room", 0.5),
    Cancelled(7),
    Ping(1),
    Pong(1),
    Leaving(),
    Wanted(PROTOCOL, "0.2.0", None, (("open-nsfw/nsfw",),), 8.0, decoding=DECODING),
    BodyWork(8, 0, 3.25, Lane.LIVE, np.frombuffer(b"a file", np.uint8)),
    EXAMINED,
)


def read(frame: bytes, like: Message) -> Message:
    return from_front(frame) if isinstance(like, FromFront) else from_worker(frame)


def as_compared(message: Message) -> dict[str, Any]:
    return {
        each.name: value.tolist() if isinstance(value := getattr(message, each.name), np.ndarray) else value
        for each in dataclasses.fields(message)
    }


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    got = read(packed(message), message)
    assert type(got) is type(message)
    np.testing.assert_equal(as_compared(got), as_compared(message))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_every_cut_frame_and_every_longer_one_is_refused(message: Message) -> None:
    frame = packed(message)
    for length in range(len(frame)):
        with pytest.raises(MalformedRequestError):
            read(frame[:length], message)
    with pytest.raises(MalformedRequestError):
        read(frame + b"0", message)


@given(st.data())
def test_no_bytes_at_all_raise_anything_else(data: st.DataObject) -> None:
    frame = bytearray(packed(data.draw(st.sampled_from(MESSAGES))))
    for _ in range(data.draw(st.integers(1, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    for read_as in (from_front, from_worker):
        try:
            read_as(bytes(frame))
        except MalformedRequestError:
            continue


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_each_side_takes_the_other_s_messages_alone(message: Message) -> None:
    wrong = from_worker if isinstance(message, FromFront) else from_front
    if isinstance(message, Refused):
        return  # either side may refuse
    with pytest.raises(MalformedRequestError, match="does not send"):
        wrong(packed(message))


@pytest.mark.parametrize("size", [10**30, 2**63, 2**40, -1])
def test_shapes_that_no_array_has_are_refused(size: int) -> None:
    frame = packed(SCORED)
    header = frame[5 : 5 + int.from_bytes(frame[1:5], "big")].replace(b"[2,2]", f"[0,{size}]".encode())
    with pytest.raises(MalformedRequestError):
        from_worker(frame[:1] + len(header).to_bytes(4, "big") + header)


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [
        (SCORED, "shapes", [[9] * 100_000]),
        (SCORED, "\x1b[2J" * 100_000, 1),
        (EXAMINED, "places", [{"frame": 0, "box": [0.0, 0.0, 1.0, 1.0]}] * 5_000),
        (EXAMINED, "readings", [[0, 100]] * 5_000),
    ],
    ids=["a shape of many numbers", "an unknown key", "places", "readings"],
)
def test_what_a_stranger_sent_is_refused_in_a_few_words(message: Message, name: str, value: object) -> None:
    frame = packed(message)
    header = json.loads(frame[5 : 5 + int.from_bytes(frame[1:5], "big")]) | {name: value}
    content = json.dumps(header).encode()
    with pytest.raises(MalformedRequestError) as refused:
        from_worker(frame[:1] + len(content).to_bytes(4, "big") + content)
    assert len(str(refused.value)) < 800
    assert str(refused.value).isprintable()


def wanted_with(heads: dict[str, bytes]) -> Wanted:
    return Wanted(PROTOCOL, "0.2.0", "fake", (tuple(heads),), 8.0, heads)


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=2_000), max_size=8))
def test_every_head_comes_back_byte_by_byte(heads: dict[str, bytes]) -> None:
    assert from_front(packed(wanted_with(heads))) == wanted_with(heads)


def test_the_most_and_largest_heads_fit_into_a_header() -> None:
    most = {f"head/{number}_{'x' * 60}@{'a' * 12}": b"\xff" * MAX_HEAD_BYTES for number in range(MAX_HEADS)}
    frame = packed(wanted_with(most))
    assert len(frame) < 0.75 * MAX_HEADER_BYTES, "labels need room too"
    assert from_front(frame) == wanted_with(most)


@pytest.mark.parametrize("heads", [{HEAD: bytes(MAX_HEAD_BYTES + 1)}, dict.fromkeys(map(str, range(33)), b"")])
def test_more_or_larger_heads_are_neither_sent_nor_taken(heads: dict[str, bytes]) -> None:
    with pytest.raises(ValidationError):
        packed(wanted_with(heads))
    header = json.loads(packed(wanted_with({}))[5:])
    header["heads"] = {label: base64.b64encode(content).decode() for label, content in heads.items()}
    content = json.dumps(header).encode()
    with pytest.raises(MalformedRequestError, match=r"Wanted: heads.* at most"):
        from_front(b"\0" + len(content).to_bytes(4, "big") + content)


def test_a_later_version_may_say_more_of_itself() -> None:
    frame = packed(MESSAGES[0])
    header = frame[5:].replace(b"{", b'{"colour": "blue", ', 1)
    later = frame[:1] + len(header).to_bytes(4, "big") + header
    assert from_front(later) == MESSAGES[0]


def test_what_the_other_side_sent_cannot_be_written_to() -> None:
    got = from_front(packed(WORK))
    assert isinstance(got, Work)
    assert not got.pixels.flags.writeable
