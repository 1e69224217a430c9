"""The canary is known by its hash, however an image server re-encodes or shrinks it, and is like no other picture."""

from __future__ import annotations

import hashlib

import pytest
from PIL import Image

from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES
from serve_app.domain.canary import CANARY_PDQ, CANARY_SHA256
from serve_app.domain.limits import MediaLimits
from serve_app.domain.lists import DENY_RADIUS_BITS, MIN_QUALITY
from serve_app.media import preprocess
from serve_app.media.canary import canary_png, draw_canary

from .pictures import NO_HURRY, encode

VIEW_SIZES_PX = (64, 224, 336)
MARGIN_BITS = 8
"""A denied picture must not be on the edge."""


def bits_from_the_canary(hashes: bytes) -> list[int]:
    known = int.from_bytes(CANARY_PDQ)
    each = (hashes[at : at + PDQ_BYTES] for at in range(0, DIHEDRAL_HASHES * PDQ_BYTES, PDQ_BYTES))
    return [(known ^ int.from_bytes(pdq)).bit_count() for pdq in each]


def assert_known(body: bytes) -> None:
    for view_px in VIEW_SIZES_PX:
        fingerprints = preprocess(body, view_px, MediaLimits(), NO_HURRY).fingerprints
        assert fingerprints
        for fingerprint in fingerprints:
            assert fingerprint.quality >= MIN_QUALITY
            assert min(bits_from_the_canary(fingerprint.hashes)) <= DENY_RADIUS_BITS - MARGIN_BITS


def test_the_drawing_still_has_the_hash_that_is_built_in() -> None:
    """But for a bit that two resamplers may round to either side."""
    (fingerprint,) = preprocess(canary_png(), 224, MediaLimits(), NO_HURRY).fingerprints
    assert bits_from_the_canary(fingerprint.pdq)[0] <= 1


def test_the_file_has_the_sha256_that_nobody_can_allow() -> None:
    """Another Pillow may compress otherwise: then the constant is that of the locked one."""
    assert hashlib.sha256(canary_png()).digest() == CANARY_SHA256


@pytest.mark.parametrize("side_px", [None, 512, 320, 256, 160])
@pytest.mark.parametrize(
    ("media_type", "options"),
    [
        ("image/png", {}),
        ("image/jpeg", {"quality": 40}),
        ("image/jpeg", {"quality": 75, "progressive": True}),
        ("image/jpeg", {"quality": 95, "subsampling": 0}),
        ("image/webp", {"quality": 40}),
        ("image/webp", {"quality": 90}),
        ("image/avif", {"quality": 40, "speed": 10}),
        ("image/avif", {"quality": 80, "speed": 10}),
        ("image/jxl", {"effort": 1}),
    ],
)
def test_it_is_known_after_it_was_re_encoded_and_shrunk(
    media_type: str, options: dict[str, object], side_px: int | None
) -> None:
    picture = draw_canary()
    if side_px is not None:
        picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    assert_known(encode(picture, media_type, **options))


@pytest.mark.parametrize("side_px", [960, 256])
@pytest.mark.parametrize("resampling", [Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("colours", [256, 16])
def test_it_is_known_in_the_few_colours_of_a_gif(side_px: int, resampling: Image.Resampling, colours: int) -> None:
    picture = draw_canary().resize((side_px, side_px * 3 // 4), resampling)
    assert_known(encode(picture.quantize(colours), "image/gif"))


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/webp", "image/png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_known_whatever_an_exif_tag_says(media_type: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_known(encode(draw_canary(), media_type, exif=exif))


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_it_is_known_turned_and_mirrored(turn: Image.Transpose) -> None:
    assert_known(encode(draw_canary().transpose(turn)))
