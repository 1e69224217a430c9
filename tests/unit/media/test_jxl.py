"""What a JPEG XL's header says of its channels decides what is made of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import Deadline, OnTruncated, TruncatedError
from serve_app.media import MediaLimits, preprocess
from serve_app.media.parsers.jxl import read_header

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
ALPHA, DEPTH, SPOT_COLOUR, BLACK, UNKNOWN = 0, 1, 2, 4, 15

Fields = tuple[tuple[int, int], ...]
EIGHT_BY_EIGHT: Fields = ((1, 1), (0, 5), (1, 3))
EIGHT_BITS: Fields = ((0, 1), (0, 2))


def packed(*fields: tuple[int, int]) -> bytes:
    """Values in so many bits each, the lowest of each byte first."""
    number, at = 0, 0
    for value, bits in fields:
        number |= value << at
        at += bits
    return number.to_bytes((at + 7) // 8, "little")


def extra_channel(kind: int, *, is_premultiplied: bool = False, name: bytes = b"") -> Fields:
    kind_fields = ((kind, 2),) if kind < 2 else ((2, 2), (kind - 2, 4))
    name_fields = ((1, 2), (len(name), 4), *((letter, 8) for letter in name))
    own = {ALPHA: ((int(is_premultiplied), 1),), SPOT_COLOUR: ((0x3C00, 16),) * 4}
    return (0, 1), *kind_fields, *EIGHT_BITS, (0, 2), *name_fields, *own.get(kind, ())


def header_of(*channels: Fields) -> bytes:
    many = ((len(channels), 2),) if len(channels) < 2 else ((2, 2), (len(channels) - 2, 4))
    fields = [*EIGHT_BY_EIGHT, (0, 1), (0, 1), *EIGHT_BITS, (0, 1), *many]
    return b"\xff\x0a" + packed(*fields, *(field for channel in channels for field in channel)) + bytes(8)


@pytest.mark.parametrize(
    ("kinds", "hidden"),
    [
        ((), 0),
        ((ALPHA,), 0),
        ((DEPTH, ALPHA), 0),
        ((SPOT_COLOUR, DEPTH, ALPHA), 0),
        ((ALPHA, BLACK), 1),
        ((BLACK,), 1),
        ((UNKNOWN,), 1),
    ],
)
def test_channels_that_would_be_missing_are_known(kinds: tuple[int, ...], hidden: int) -> None:
    channels = [extra_channel(kind, name=b"ink" * (kind % 3)) for kind in kinds]
    assert read_header(header_of(*channels)).hidden_channels == hidden


def test_premultiplied_transparency_is_found_behind_other_channels() -> None:
    channels = extra_channel(DEPTH, name=b"how far"), extra_channel(SPOT_COLOUR), extra_channel(ALPHA)
    assert not read_header(header_of(*channels)).is_premultiplied
    premultiplied = *channels[:2], extra_channel(ALPHA, is_premultiplied=True)
    assert read_header(header_of(*premultiplied)).is_premultiplied


def test_premultiplied_colours_are_shown_as_in_a_browser() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (16, 16), (100, 50, 0, 128)).save(written, "JXL", lossless=True, effort=1, use_container=False)
    body = written.getvalue()
    # The writer's header ends with the default for transparency (17 bits before it, 5 bits behind it, then a whole
    # byte); it is replaced by the same in full, but premultiplied.
    before, behind = int.from_bytes(body[2:5], "little") & 0x1FFFF, int.from_bytes(body[2:5], "little") >> 18 & 0x1F
    assert int.from_bytes(body[2:5], "little") >> 17 & 1
    alpha = (0, 1), (ALPHA, 2), *EIGHT_BITS, (0, 2), (0, 2), (1, 1)
    premultiplied = body[:2] + packed((before, 17), *alpha, (behind, 5)) + body[5:]
    views = preprocess(premultiplied, 16, MediaLimits(), NO_HURRY).pixels
    np.testing.assert_allclose(views[:, 8, 8].astype(int), [[227, 177, 127], [100, 50, 0]], atol=2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_container_that_is_cut_is_truncated(data: st.DataObject) -> None:
    written = io.BytesIO()
    Image.new("RGB", (64, 64), (100, 50, 0)).save(written, "JXL", effort=1, use_container=True)
    body = written.getvalue()
    cut = body[: data.draw(st.integers(12, len(body) - 1))]
    for setting in OnTruncated:
        with pytest.raises(TruncatedError):
            preprocess(cut, 16, MediaLimits(), NO_HURRY, setting)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_header_is_read_or_refused(junk: bytes) -> None:
    try:
        header = read_header(b"\xff\x0a" + junk)
    except ValueError:
        return
    assert header.hidden_channels >= 0
