"""The same picture twice says nothing twice, and no score chooses which copy stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serve_app.calibration import pictures as pictures_module
from serve_app.calibration.pictures import ScoredPicture, digest_of, distinct
from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES, FrameFingerprint
from tests.unit.calibration.conftest import MakePicture

GENERATOR = np.random.default_rng(3)


def fingerprint(
    changed_bits: int = 0, of: bytes | None = None, quality: int = 90, turned: bool = False
) -> FrameFingerprint:
    """A PDQ, or one that differs by a few bits; ``turned`` has it among its symmetries alone."""
    bits = np.unpackbits(np.frombuffer(of or GENERATOR.bytes(PDQ_BYTES), np.uint8))
    bits[:changed_bits] ^= 1
    own, others = np.packbits(bits).tobytes(), GENERATOR.bytes((DIHEDRAL_HASHES - 1) * PDQ_BYTES)
    return FrameFingerprint(0, quality, others + own if turned else own + others)


def names(pictures: list[ScoredPicture]) -> set[str]:
    return {each.name for each in pictures}


def test_equal_bytes_count_once_by_their_first_name(picture: MakePicture) -> None:
    one = picture("b")
    assert distinct([one, replace(one, name="a"), replace(one, name="c")]) == [replace(one, name="a")]


@pytest.mark.parametrize(
    ("near", "counted"),
    [
        ({"changed_bits": 31}, 1),
        ({"changed_bits": 32}, 2),
        ({"turned": True}, 1),
        ({"changed_bits": 3, "quality": 49}, 2),
    ],
)
def test_pictures_that_look_alike_count_once(picture: MakePicture, near: dict[str, int | bool], counted: int) -> None:
    first = fingerprint()
    second = fingerprint(of=first.pdq, **near)  # type: ignore[arg-type]
    pictures = [picture("a", fingerprint=first), picture("b", fingerprint=second), picture("c"), picture("d")]
    assert len(distinct(pictures)) == counted + 2


def test_of_near_duplicates_the_first_by_its_bytes_stays_whatever_the_order(picture: MakePicture) -> None:
    first = fingerprint()
    pictures = [picture(str(number), fingerprint=fingerprint(number % 9, of=first.pdq)) for number in range(9)]
    stays = min(pictures, key=lambda each: each.sha256)
    assert distinct(pictures) == distinct(pictures[::-1]) == [stays]


def test_a_chain_of_likenesses_does_not_leave_out_its_far_end(picture: MakePicture) -> None:
    near, far = fingerprint(), None
    middle = fingerprint(20, of=near.pdq)
    far = fingerprint(40, of=near.pdq)
    by_digest = sorted((picture(str(number)) for number in range(3)), key=lambda each: each.sha256)
    chain = [replace(each, fingerprint=own) for each, own in zip(by_digest, (near, middle, far), strict=True)]
    assert distinct(chain) == [chain[0], chain[2]]


def test_many_pictures_are_compared_by_bands(picture: MakePicture, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture(str(number), fingerprint=fingerprint()) for number in range(50)]
    pictures += [
        picture(f"copy {each.name}", fingerprint=fingerprint(31, of=each.fingerprint.pdq))
        for each in pictures
        if each.fingerprint is not None
    ]
    expected = distinct(pictures)
    assert len(expected) == 50
    monkeypatch.setattr(pictures_module, "_MAX_LINEAR_HASHES", 10)
    assert distinct(pictures) == expected


def test_the_digest_of_a_set_does_not_depend_on_names_or_order(picture: MakePicture) -> None:
    pictures = [picture("a"), picture("b")]
    renamed = [replace(each, name=f"other {each.name}") for each in reversed(pictures)]
    assert digest_of(pictures) == digest_of(renamed) != digest_of(pictures[:1])
