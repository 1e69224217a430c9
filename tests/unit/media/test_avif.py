"""AVIF and HEIF that libavif refuses and browsers show, stills beside sequences, and what is left of cut ones."""

from __future__ import annotations

import io
import struct
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from serve_app.domain import Deadline, OnTruncated, TooLargeError, TruncatedError, UndecodableError, UnscannableError
from serve_app.media import MediaLimits, preprocess
from serve_app.media.avif_picture import decode_primary
from serve_app.media.colour import as_rgb
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.orientation import orientations_of
from serve_app.media.parsers.heif_items import is_cut, read_items
from serve_app.media.parsers.iso_boxes import IsoBoxes
from serve_app.media.pictures import open_picture

register_decoders()
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
LIMITS = MediaLimits()
SIDE_PX = 64


def drawn(alpha: int = 255) -> Image.Image:
    picture = Image.new("RGBA", (2 * SIDE_PX, SIDE_PX), (40, 90, 160, alpha))
    ImageDraw.Draw(picture).rectangle((0, 0, 40, 30), fill=(220, 30, 30, 255))
    return picture


def encode(picture: Image.Image, kind: str = "AVIF", **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def views_of(body: bytes, on_truncated: OnTruncated = OnTruncated.REFUSE) -> NDArray[np.uint8]:
    return preprocess(body, 32, LIMITS, NO_HURRY, on_truncated).pixels


def is_near(one: NDArray[np.uint8], other: NDArray[np.uint8], levels: float = 4) -> bool:
    return bool(np.abs(one.astype(int) - other).mean() < levels)


# The second reader


def alpha_without_size(body: bytes | None = None) -> bytes:
    body = body or encode(drawn(alpha=100))
    at = body.rindex(b"ispe")  # libavif writes one for both items; the association of the second is taken out
    associations = body.index(b"ipma")
    properties = next(IsoBoxes(body).find(b"meta", b"iprp", b"ipco"))
    size_index = 1 + [box.kind for box in IsoBoxes(body).inside(properties)].index(b"ispe")
    second = body.index(struct.pack(">HB", 2, body[associations + 4 + 4 + 4 + 2]), associations)
    assert body.index(b"ispe") == at
    assert body[second + 3] & 0x7F == size_index
    return body[: second + 3] + b"\x00" + body[second + 4 :]


def test_transparency_without_a_size_is_seen() -> None:
    body = alpha_without_size()
    with pytest.raises(OSError):  # noqa: PT011 - else the second reader is not asked
        Image.open(io.BytesIO(body), formats=["AVIF"])
    whole, strict = views_of(encode(drawn(alpha=100))), views_of(body)
    assert all(is_near(*pair) for pair in zip(whole, strict, strict=False))


def masked(**options: Any) -> bytes:
    """A red corner on blue, of which nothing is seen but the blue at its right."""
    picture = drawn()
    ImageDraw.Draw(alpha := Image.new("L", picture.size)).rectangle((SIDE_PX, 0, 2 * SIDE_PX, SIDE_PX), fill=255)
    picture.putalpha(alpha)
    return encode(picture, quality=95, **options)


def grey_profile() -> bytes:
    """A sound profile that fits no picture with colours: of another space than it says in its header."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:16] + b"GRAY" + profile[20:]


UNUSABLE_PROFILES = {"damaged": b"no profile" * 20, "for grey": grey_profile()}


def shows_all(body: bytes) -> bool:
    whole = views_of(encode(drawn().convert("RGB")))[0]
    return any(is_near(whole, seen) for seen in views_of(body))


@pytest.mark.parametrize("profile", UNUSABLE_PROFILES.values(), ids=UNUSABLE_PROFILES)
def test_what_transparency_hides_is_seen_where_browsers_leave_it_out(profile: bytes) -> None:
    assert shows_all(masked(icc_profile=profile))
    assert shows_all(masked(icc_profile=profile, save_all=True, append_images=[drawn(alpha=100)], duration=100))


def test_what_transparency_without_a_size_hides_is_seen() -> None:
    assert shows_all(alpha_without_size(masked()))


@pytest.mark.parametrize("profile", [b"", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_what_all_browsers_hide_is_not_seen(profile: bytes) -> None:
    assert not shows_all(masked(icc_profile=profile))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0", "4:0:0"])
@pytest.mark.parametrize("value_range", ["full", "limited"])
@pytest.mark.parametrize("alpha", [255, 100])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_second_reader_sees_what_the_first_does(
    subsampling: str, value_range: str, alpha: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[274] = orientation  # written as irot and imir
    picture = drawn(alpha) if alpha < 255 else drawn().convert("RGB")
    body = encode(picture, subsampling=subsampling, range=value_range, exif=exif, quality=95)
    first, second = open_picture(body, "image/avif", LIMITS), decode_primary(body, LIMITS)
    assert orientations_of(first) == orientations_of(second) == (orientation,)
    pairs = zip(as_rgb(first), as_rgb(second), strict=True)
    assert all(is_near(np.asarray(one), np.asarray(other)) for one, other in pairs)


def test_a_way_up_that_only_some_programs_honour_is_seen_too() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    plain, turned = encode(drawn().convert("RGB")), encode(drawn().convert("RGB"), xmp=xmp)
    (as_it_stands,), readings = (
        preprocess(body, 32, MediaLimits(max_views=1), NO_HURRY).pixels for body in (plain, turned)
    )
    assert is_near(readings[0], as_it_stands)
    assert is_near(readings[1], as_it_stands[::-1, ::-1])


def with_aperture(width: int, height: int, right_by: int, down_by: int) -> bytes:
    aperture = struct.pack(">4I", width, 1, height, 1) + struct.pack(">iIiI", right_by, 1, down_by, 1)
    return of_items({1: b"av01"}, box(b"clap", aperture))


def test_what_browsers_cut_out_is_seen_besides_the_whole() -> None:
    body = with_aperture(40, 30, 20 - SIDE_PX, 15 - SIDE_PX // 2)  # the red corner
    whole, part = preprocess(body, 32, MediaLimits(max_views=2), NO_HURRY).pixels
    assert is_near(whole, views_of(encode(drawn().convert("RGB")))[0])
    assert is_near(part, np.full((32, 32, 3), (220, 30, 30), np.uint8), levels=6)


@pytest.mark.parametrize("aperture", [(0, 30, 0, 0), (400, 30, 0, 0), (40, 30, 200, 0)])
def test_an_aperture_beyond_the_picture_is_ignored(aperture: tuple[int, int, int, int]) -> None:
    assert len(preprocess(with_aperture(*aperture), 32, MediaLimits(max_views=2), NO_HURRY).pixels) == 1


def test_tiles_are_joined() -> None:
    # A grid of two tiles, of which each is an item; made of one file's data, which both tiles point at.
    body = grid(columns=2)
    picture = decode_primary(body, LIMITS)
    tile = np.asarray(open_picture(encode(drawn().convert("RGB")), "image/avif", LIMITS))
    assert picture.size == (4 * SIDE_PX, SIDE_PX)
    assert is_near(np.asarray(picture), np.concatenate([tile, tile], axis=1))


@pytest.mark.parametrize("side_px", [7000, 60_000])
def test_a_grid_is_no_larger_than_the_limit(side_px: int) -> None:
    with pytest.raises(TooLargeError):
        decode_primary(grid(columns=2, size=(side_px, side_px)), LIMITS)


def test_a_grid_needs_all_of_its_tiles() -> None:
    with pytest.raises(ValueError, match="tiles"):
        decode_primary(grid(columns=2, stated_columns=3), LIMITS)


def box(kind: bytes, *contents: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, contents))) + kind + b"".join(contents)


def grid(columns: int, stated_columns: int | None = None, size: tuple[int, int] | None = None) -> bytes:
    width_px, height_px = size or (columns * 2 * SIDE_PX, SIDE_PX)
    layout = struct.pack(">4B2H", 0, 0, 0, (stated_columns or columns) - 1, width_px, height_px)
    return of_items({1: b"grid", **dict.fromkeys(range(2, 2 + columns), b"av01")}, layout=layout)


def of_items(kinds: dict[int, bytes], *further_properties: bytes, layout: bytes = b"") -> bytes:
    """A file whose items all have the same coded picture and properties, but for a grid's, which has the layout."""
    source = encode(drawn().convert("RGB"))
    item = read_items(source).items[1]
    (start, end), *_ = item.pieces
    tile = source[start:end]
    tiles = [each for each, kind in kinds.items() if kind == b"av01"]
    properties = [*(box(kind, content) for kind, content in item.properties), *further_properties]
    full = bytes(4)
    infos = [
        box(b"infe", b"\x02" + bytes(3), struct.pack(">2H", each, 0), kind, b"\x00") for each, kind in kinds.items()
    ]

    def meta(tile_at: int) -> bytes:
        places = [
            struct.pack(">4H2I", each, 0, 0, 1, tile_at, len(tile))
            if kind == b"av01"
            else struct.pack(">4H2I", each, 1, 0, 1, 0, len(layout))
            for each, kind in kinds.items()
        ]
        associations = b"".join(
            struct.pack(">HB", each, len(properties)) + bytes(range(1, len(properties) + 1)) for each in tiles
        )
        references = box(b"dimg", struct.pack(f">{2 + len(tiles)}H", 1, len(tiles), *tiles)) if layout else b""
        return box(
            b"meta",
            full,
            box(b"hdlr", full, bytes(4), b"pict", bytes(13)),
            box(b"pitm", full, struct.pack(">H", 1)),
            box(b"iloc", b"\x01" + bytes(3), b"\x44\x00", struct.pack(">H", len(kinds)), *places),
            box(b"iinf", full, struct.pack(">H", len(kinds)), *infos),
            box(b"iref", full, references),
            box(b"iprp", box(b"ipco", *properties), box(b"ipma", full, struct.pack(">I", len(tiles)), associations)),
            box(b"idat", layout),
        )

    head = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf")
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", tile)


# Stills beside sequences


def sequence(colours: list[str], still: str | None = None) -> bytes:
    """An AVIF of frames; ``still`` is the picture that its item shows, else the first frame."""
    first, *others = [Image.new("RGB", (SIDE_PX, SIDE_PX), colour) for colour in colours]
    body = encode(first, save_all=True, append_images=others, duration=100)
    if still is None:
        return body
    source = encode(Image.new("RGB", (SIDE_PX, SIDE_PX), still))
    (start, end), *_ = read_items(source).items[1].pieces
    (old, old_end), *_ = read_items(body).items[1].pieces
    place = struct.pack(">2I", old, old_end - old)
    assert body.count(place) == 1
    return body.replace(place, struct.pack(">2I", len(body) + 8, end - start)) + box(b"mdat", source[start:end])


def colours_of(body: bytes) -> list[str]:
    names = {(255, 0, 0): "red", (0, 0, 255): "blue", (255, 255, 255): "white", (0, 0, 0): "black"}
    return [
        min(names.items(), key=lambda name: np.abs(pixels.mean((0, 1)) - name[0]).sum())[1] for pixels in views_of(body)
    ]


@pytest.mark.parametrize("brand", [b"avis", b"avif"])
def test_the_still_beside_a_sequence_is_seen_too(brand: bytes) -> None:
    body = sequence(["blue", "white", "black"], still="red")
    assert colours_of(body[:8] + brand + body[12:]) == ["blue", "white", "black", "red"]


@pytest.mark.parametrize("brand", [b"avis", b"avif"])
def test_a_still_that_is_the_first_frame_is_seen_once(brand: bytes) -> None:
    body = sequence(["blue", "red"])
    assert colours_of(body[:8] + brand + body[12:]) == ["blue", "red"]


def heic_sequence() -> bytes:
    """A HEIC with a blue still, and a track of two other colours."""
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        options = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"}
        stream = container.add_stream("libx265", rate=10, options=options)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for step, colour in enumerate(["white", "red"]):
            frame = av.VideoFrame.from_ndarray(np.asarray(Image.new("RGB", (SIDE_PX, SIDE_PX), colour)))
            frame.pts = step
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    still, track = encode(Image.new("RGB", (SIDE_PX, SIDE_PX), "blue"), "HEIF"), written.getvalue()
    begin = track.index(b"mdat") - 4
    place = track.index(b"stco") + 4 + 4 + 4  # of one chunk: after version, flags and count
    (offset,) = struct.unpack(">I", track[place : place + 4])
    moved = track[:place] + struct.pack(">I", offset - begin + len(still)) + track[place + 4 :]
    return still + moved[begin:]


def test_a_heic_sequence_and_the_still_beside_it_are_seen() -> None:
    assert colours_of(heic_sequence()) == ["white", "red", "blue"]


# Cut and damaged files

BODIES = {
    "avif": encode(drawn().convert("RGB")),
    "avif, transparent": encode(drawn(alpha=100)),
    "avif, second reader": alpha_without_size(),
    "avif, grid": grid(columns=2),
    "avif, aperture": with_aperture(40, 30, 0, 0),
    "avif, sequence": sequence(["blue", "white", "red"]),
    "avif, sequence and still": sequence(["blue", "white"], still="red"),
    "heic": encode(drawn().convert("RGB"), "HEIF"),
}


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_cut_file_is_truncated(name: str, data: st.DataObject) -> None:
    body = BODIES[name]
    cut = body[: data.draw(st.integers(24, len(body) - 1) | st.integers(len(body) - 20, len(body) - 1))]
    with pytest.raises(TruncatedError):
        views_of(cut)
    with pytest.raises(TruncatedError):  # browsers show nothing of it either
        views_of(cut, OnTruncated.SCAN)


@pytest.mark.parametrize("name", BODIES)
def test_what_is_cut_off_behind_the_pictures_is_not_missed(name: str) -> None:
    body = BODIES[name]
    assert not is_cut(body + box(b"free", bytes(100))[:50])


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_flipped_bytes_end_in_views_or_in_one_of_our_errors(name: str, data: st.DataObject) -> None:
    body = bytearray(BODIES[name])
    # Most of the first bytes are what is read here and not by a decoder.
    places = st.integers(4, min(len(body), 700) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        body[place] = data.draw(st.sampled_from([0, 1, 2, 15, 16, 127, 128, 255]) | st.integers(0, 255))
    for read in (decode_primary, lambda body, _: read_items(body), lambda body, _: is_cut(body)):
        try:
            read(bytes(body), MediaLimits(max_pixels=100_000))
        except (ValueError, UnscannableError):
            continue


def test_data_that_overlaps_itself_is_read_once() -> None:
    body = encode(drawn().convert("RGB"))
    places = body.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2
    with pytest.raises((ValueError, UndecodableError)):
        decode_primary(body[:places] + b"\xff\xff" + body[places + 2 :], LIMITS)
