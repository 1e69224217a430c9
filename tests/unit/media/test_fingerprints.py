"""Every reading of every sampled frame has a fingerprint, near to the reference's, whatever the file and the model."""

from __future__ import annotations

import numpy as np
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES, FrameFingerprint, OnTruncated
from serve_app.domain.limits import MediaLimits
from serve_app.media import preprocess
from tests.unit.media.pictures import NO_HURRY, PILLOW_FORMATS, encode
from tests.unit.media.videos import encode as encode_video

quick = settings(max_examples=40, deadline=None, derandomize=True)
VIEW_PX = 224
LIMITS = MediaLimits()
GOOD_QUALITY = 50
"""Below it, lists do not compare."""

NEAR_BITS, SAME_BITS = 10, 31
"""How far our hash of a reduced picture may be from the reference's, and how far two hashes of one picture apart."""


def blots(width_px: int = 900, height_px: int = 700, seed: int = 7) -> Image.Image:
    """Soft blots without any symmetry, small enough that no frequency of the hash is near to zero."""
    cells = np.random.default_rng(seed).integers(0, 256, (30, 34, 3), np.uint8)
    return Image.fromarray(cells).resize((width_px, height_px), Image.Resampling.BICUBIC)


def fingerprints_of(
    body: bytes,
    view_px: int = VIEW_PX,
    limits: MediaLimits = LIMITS,
    on_truncated: OnTruncated = OnTruncated.REFUSE,
) -> tuple[FrameFingerprint, ...]:
    return preprocess(body, view_px, limits, NO_HURRY, on_truncated).fingerprints


def only_fingerprint_of(body: bytes, view_px: int = VIEW_PX) -> FrameFingerprint:
    (fingerprint,) = fingerprints_of(body, view_px)
    return fingerprint


def bits_between(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def at_512_px(picture: Image.Image) -> Image.Image:
    """As the reference hashes it."""
    return picture if max(picture.size) <= 512 else picture.resize((512, 512), Image.Resampling.LANCZOS)


def references(picture: Image.Image) -> list[bytes]:
    """The eight hashes that the reference has of it."""
    hashes, _ = pdqhash.compute_dihedral(np.asarray(at_512_px(picture)))
    return [np.packbits(bits.astype(np.uint8)).tobytes() for bits in hashes]


def reference(picture: Image.Image) -> bytes:
    return references(picture)[0]


def eight(fingerprint: FrameFingerprint) -> list[bytes]:
    return [fingerprint.hashes[at : at + PDQ_BYTES] for at in range(0, DIHEDRAL_HASHES * PDQ_BYTES, PDQ_BYTES)]


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
@pytest.mark.parametrize("size_px", [(500, 400), (1100, 800)])
def test_it_is_near_to_the_reference_of_the_picture_at_512_px(media_type: str, size_px: tuple[int, int]) -> None:
    picture = blots(*size_px)
    fingerprint = only_fingerprint_of(encode(picture, media_type))
    assert bits_between(fingerprint.pdq, reference(picture)) <= NEAR_BITS
    assert fingerprint.quality >= GOOD_QUALITY


@pytest.mark.parametrize("size_px", [(512, 512), (97, 300), (64, 64), (5, 9)])
def test_of_a_grey_picture_that_the_reference_would_not_squeeze_it_is_the_reference(size_px: tuple[int, int]) -> None:
    grey = np.random.default_rng(size_px).integers(0, 256, size_px, np.uint8)
    same = Image.fromarray(np.stack([grey] * 3, axis=2))
    assert bits_between(only_fingerprint_of(encode(same)).pdq, reference(same)) <= 2


@pytest.mark.parametrize("size_px", [(400, 300), (1600, 1300)])
@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg"])
def test_it_does_not_depend_on_the_size_of_the_models_views(media_type: str, size_px: tuple[int, int]) -> None:
    body = encode(blots(*size_px), media_type)
    ours = only_fingerprint_of(body, VIEW_PX)
    for view_px in (8, 64, 336, 448):
        assert bits_between(ours.pdq, only_fingerprint_of(body, view_px).pdq) <= 2


@quick
@given(st.integers(0, 2**32), st.integers(256, 900), st.integers(256, 900), st.sampled_from(list(Image.Transpose)))
def test_a_turned_or_mirrored_copy_shares_a_hash(
    seed: int, width_px: int, height_px: int, turn: Image.Transpose
) -> None:
    picture = blots(width_px, height_px, seed)
    ours = only_fingerprint_of(encode(picture, compress_level=0))
    copys = only_fingerprint_of(encode(picture.transpose(turn), compress_level=0))
    # Windows of even length reach further to one side, so that the reference's own hashes are not equal to the bit.
    expected = min(bits_between(reference(picture), each) for each in references(picture.transpose(turn)))
    assert min(bits_between(ours.pdq, each) for each in eight(copys)) <= expected + NEAR_BITS
    assert min(bits_between(copys.pdq, each) for each in eight(ours)) <= expected + NEAR_BITS


def test_an_exif_tag_turns_the_picture_first() -> None:
    picture = blots()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    stored = encode(picture.transpose(Image.Transpose.ROTATE_90), "image/jpeg", exif=exif)
    assert bits_between(only_fingerprint_of(stored).pdq, only_fingerprint_of(encode(picture)).pdq) <= NEAR_BITS


def test_every_sampled_frame_of_an_animation_has_one() -> None:
    frames = [blots(200, 150, seed) for seed in range(5)]
    body = encode(frames[0], "image/gif", save_all=True, append_images=frames[1:], duration=200)
    fingerprints = fingerprints_of(body)
    assert [each.frame for each in fingerprints] == [0, 1, 2, 3, 4]
    for frame, fingerprint in zip(frames, fingerprints, strict=True):
        assert bits_between(fingerprint.pdq, reference(frame)) <= SAME_BITS


def test_every_reading_of_a_transparent_picture_has_one() -> None:
    picture = blots(400, 300)
    picture.putalpha(blots(400, 300, 8).convert("L"))
    over_white, over_black = fingerprints_of(encode(picture))
    for fingerprint, background in ((over_white, "white"), (over_black, "black")):
        shown = Image.new("RGB", picture.size, background)
        shown.paste(picture, mask=picture.getchannel("A"))
        assert bits_between(fingerprint.pdq, reference(shown)) <= NEAR_BITS
    assert bits_between(over_white.pdq, over_black.pdq) > SAME_BITS


def test_every_sampled_frame_of_a_video_has_one() -> None:
    frames = [blots(320, 240, seed) for seed in range(3)]
    fingerprints = fingerprints_of(encode_video(map(np.asarray, frames)))
    assert [each.frame for each in fingerprints] == [0, 1, 2]
    for frame, fingerprint in zip(frames, fingerprints, strict=True):
        assert bits_between(fingerprint.pdq, reference(frame)) <= SAME_BITS


@pytest.mark.parametrize("colour", ["white", "black", "teal"])
def test_a_blank_picture_has_no_quality(colour: str) -> None:
    assert only_fingerprint_of(encode(Image.new("RGB", (640, 480), colour))).quality == 0


def test_so_far_as_it_goes_a_cut_picture_has_one() -> None:
    whole = encode(blots(), "image/jpeg")
    (fingerprint,) = fingerprints_of(whole[: len(whole) * 19 // 20], on_truncated=OnTruncated.SCAN)
    assert bits_between(fingerprint.pdq, only_fingerprint_of(whole).pdq) <= SAME_BITS
