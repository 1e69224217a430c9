"""One walker for the boxes of MP4, AVIF, HEIF and JPEG XL, whatever the bytes say."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.parsers import MalformedError
from serve_app.media.parsers.heif_items import without_alpha
from serve_app.media.parsers.iso_boxes import Box, IsoBoxes, has_iso_box, renamed

LONGEST_S = 6.0
KINDS = (b"moov", b"trak", b"tref", b"meta", b"iref", b"auxl", b"free")


def box(kind: bytes, content: bytes = b"", length: int | None = None) -> bytes:
    return (8 + len(content) if length is None else length).to_bytes(4, "big") + kind + content


def long_box(kind: bytes, content: bytes) -> bytes:
    return b"\x00\x00\x00\x01" + kind + (16 + len(content)).to_bytes(8, "big") + content


def test_boxes_follow_one_another() -> None:
    body = box(b"ftyp", b"1234") + long_box(b"moov", b"12345678") + box(b"mdat", b"rest", length=0)
    found = list(IsoBoxes(body).top())
    assert [each.kind for each in found] == [b"ftyp", b"moov", b"mdat"]
    assert [body[each.start : each.end] for each in found] == [b"1234", b"12345678", b"rest"]
    assert [body[each.at + 4 : each.at + 8] for each in found] == [b"ftyp", b"moov", b"mdat"]


def test_a_box_at_the_top_ends_where_it_says() -> None:
    (found,) = IsoBoxes(box(b"mdat", b"cut", length=100)).top()
    assert found.end == 100


def test_a_box_inside_another_ends_with_it() -> None:
    body = box(b"moov", box(b"trak", b"1234", length=1000)) + box(b"mdat", bytes(2000))
    (track,) = IsoBoxes(body).find(b"moov", b"trak")
    assert body[track.start : track.end] == b"1234"


def test_what_stands_ahead_of_the_boxes_in_a_box_is_stepped_over() -> None:
    body = box(b"meta", bytes(4) + box(b"iref", bytes(4) + box(b"auxl", b"here")))
    (reference,) = IsoBoxes(body).find(b"meta", b"iref", b"auxl")
    assert body[reference.start : reference.end] == b"here"
    parent = next(IsoBoxes(body).top())
    assert [each.kind for each in IsoBoxes(body).inside(parent, ahead_bytes=4)] == [b"iref"]


def test_every_box_of_a_path_is_found() -> None:
    body = b"".join(box(b"moov", box(b"trak", bytes([n])) * 2 + box(b"free")) for n in range(3))
    assert [body[each.start] for each in IsoBoxes(body).find(b"moov", b"trak")] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("length", [2, 7])
def test_what_is_shorter_than_its_own_header_is_no_box(length: int) -> None:
    body = box(b"ftyp") + box(b"moov", length=length) + box(b"moov")
    assert not has_iso_box(body, b"moov")
    assert has_iso_box(body, b"ftyp")


def test_all_walks_over_a_file_share_one_budget() -> None:
    boxes = IsoBoxes(box(b"free") * 60_000)
    assert sum(1 for _ in boxes.top()) == 60_000
    with pytest.raises(MalformedError, match="too many boxes"):
        list(boxes.top())


def test_boxes_that_each_claim_the_rest_of_the_file_cost_no_more_than_others() -> None:
    # Each `tref` says that it is as long as the file: walked over as stated, 30,000 times 30,000 boxes.
    track = box(b"trak", box(b"tref", length=10_000_000))
    body = box(b"moov", track * 30_000)
    began_s = time.process_time()
    assert without_alpha(body) == body
    assert time.process_time() - began_s < LONGEST_S


def test_a_box_under_another_name_is_the_only_change() -> None:
    body = box(b"ftyp", b"moov") + long_box(b"moov", b"content!") + box(b"free")
    changed = renamed(body, IsoBoxes(body).find(b"moov"), b"none")
    assert changed == box(b"ftyp", b"moov") + long_box(b"none", b"content!") + box(b"free")
    assert renamed(body, [], b"none") is body


def nested(children: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[bytes]:
    lengths = st.one_of(st.none(), st.integers(0, 2**32 - 1))
    return st.builds(
        lambda kind, inside, ahead, length: box(kind, ahead + b"".join(inside), length),
        st.sampled_from(KINDS),
        children,
        st.sampled_from((b"", bytes(4), b"junk of 15 byte")),
        lengths,
    )


FILES = st.lists(st.recursive(nested(st.just([])), lambda each: nested(st.lists(each, max_size=4)), max_leaves=12))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(body=st.one_of(st.binary(), FILES.map(b"".join)), path=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
def test_any_bytes_are_walked_over_once_and_within_them(body: bytes, path: list[bytes]) -> None:
    boxes = IsoBoxes(body)
    found = list(boxes.find(*path))
    assert all(each.kind == path[-1] and body[each.at + 4 : each.at + 8] == each.kind for each in found)
    # Boxes on one level follow one another, and none is outside the bytes but at the top.
    for one, next_one in itertools.pairwise(found):
        assert one.at < one.start <= one.end <= next_one.at
    if len(path) > 1:
        assert all(each.start <= max(each.end, len(body)) and each.end <= len(body) for each in found)
    for parent in boxes.top():
        require_inside(boxes, parent, body)


def require_inside(boxes: IsoBoxes, parent: Box, body: bytes) -> None:
    for each in boxes.inside(parent):
        assert parent.start <= each.at
        assert each.end <= min(parent.end, len(body))
        require_inside(boxes, each, body)
