"""Whatever is done to a file, it ends in views or in one of our errors.

A short run of it belongs to every test run. A long one goes on for as many seconds as it is told, says now and then how
far it is, and names the seed of what it found::

    PICTWARDEN_FUZZ_S=600 pytest -s tests/unit/media/test_fuzz.py
"""

from __future__ import annotations

import io
import os
import random
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import Deadline, OnTruncated, UnscannedError
from serve_app.media import MediaLimits, preprocess
from serve_app.media.decoder_plugins import register_decoders

register_decoders()
LONG_RUN_S = float(os.environ.get("PICTWARDEN_FUZZ_S", "0"))
SHORT_RUN_MUTANTS = 2000
REPORT_EVERY_S = 15.0
SLOWEST_S = 8.0
"""Of one mutant. The limits are small, so that what takes longer than a second has found a way around them."""
LIMITS = MediaLimits(max_pixels=20_000, max_frames_total=20, max_frames=4)
# What a mutation likes to write over a length or a size.
ODD_BYTES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x00\x00", b"\xff\xff", b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4))


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 4), np.uint8)
    return Image.fromarray(noise).resize((32, 24)).convert(mode)


def encode(pillow_format: str, mode: str = "RGB", frames: int = 1, **options: object) -> bytes:
    first, *rest = (picture(seed, mode) for seed in range(frames))
    if rest:
        options |= {"save_all": True, "append_images": rest}
    written = io.BytesIO()
    first.save(written, pillow_format, **options)
    return written.getvalue()


SEEDS = {
    "apng": encode("PNG", frames=3),
    "avif": encode("AVIF"),
    "avif, animated": encode("AVIF", frames=3),
    "avif, transparent": encode("AVIF", "RGBA"),
    "bmp": encode("BMP"),
    "bmp, palette": encode("BMP", "P"),
    "gif": encode("GIF"),
    "gif, animated": encode("GIF", frames=3),
    "heic": encode("HEIF"),
    "heic, several": encode("HEIF", frames=2),
    "heic, transparent": encode("HEIF", "RGBA"),
    "jpeg": encode("JPEG"),
    "jpeg, grey": encode("JPEG", "L"),
    "jpeg, ink": encode("JPEG", "CMYK"),
    "jpeg, progressive": encode("JPEG", progressive=True),
    "jpeg xl": encode("JXL", effort=1),
    "jpeg xl, container": encode("JXL", effort=1, use_container=True),
    "jpeg xl, lossless": encode("JXL", "RGBA", effort=1, lossless=True),
    "mpo": encode("MPO", frames=2),
    "png": encode("PNG"),
    "png, palette": encode("PNG", "P"),
    "png, transparent": encode("PNG", "LA"),
    "tiff": encode("TIFF"),
    "tiff, deflate": encode("TIFF", compression="tiff_adobe_deflate"),
    "tiff, float": encode("TIFF", "F"),
    "tiff, jpeg": encode("TIFF", compression="jpeg"),
    "tiff, lzw": encode("TIFF", frames=2, compression="tiff_lzw"),
    "webp": encode("WEBP"),
    "webp, animated": encode("WEBP", frames=3),
    "webp, lossless": encode("WEBP", "RGBA", lossless=True),
}


def mutate(body: bytes, dice: random.Random) -> bytes:
    """One to eight changes: bits flipped, odd numbers written, pieces cut, doubled or taken from another file."""
    mutant = bytearray(body)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        # Headers are where a byte matters: half of all changes fall into the first 200 bytes.
        at = dice.randrange(min(len(mutant), dice.choice((200, 1 << 30))) or 1) if mutant else 0
        piece = dice.randrange(1, 64)
        match dice.randrange(7):
            case 0 if mutant:
                mutant[at] ^= 1 << dice.randrange(8)
            case 1:
                mutant[at : at + 1] = dice.randbytes(1)
            case 2:
                odd = dice.choice(ODD_BYTES)
                mutant[at : at + len(odd)] = odd
            case 3:
                del mutant[at : at + piece]
            case 4:
                mutant[at:at] = mutant[at : at + piece] * dice.choice((1, 1, 40))
            case 5:
                del mutant[dice.randrange(len(mutant) + 1) :]
            case 6:
                other = SEEDS[dice.choice(list(SEEDS))]
                start = dice.randrange(len(other))
                mutant[at : at + piece] = other[start : start + piece]
    return bytes(mutant)


def with_right_checksums(body: bytes) -> bytes:
    """A PNG whose chunks pass their checksums again, so that a mutation gets further than to those."""
    repaired = bytearray(body)
    at = 8
    while at + 12 <= len(repaired):
        end = at + 8 + int.from_bytes(repaired[at : at + 4], "big")
        if end + 4 > len(repaired):
            break
        repaired[end : end + 4] = zlib.crc32(repaired[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(repaired)


def outcome_of(seed: int) -> tuple[str, str]:
    """What a mutant was made of, and what came of it.

    Raises:
        AssertionError: an error that is not ours, or more time than a mutant may take; the message tells the seed.
    """
    dice = random.Random(seed)
    name = dice.choice(list(SEEDS))
    body = mutate(SEEDS[name], dice)
    if "png" in name and dice.random() < 0.8:
        body = with_right_checksums(body)
    began_s = time.process_time()
    try:
        views = preprocess(body, 16, LIMITS, Deadline.after(60), dice.choice(list(OnTruncated)))
    except UnscannedError as error:
        outcome = error.reason.value
    except BaseException as error:
        raise AssertionError(f"mutant {seed} of {name!r}: {error!r}") from error
    else:
        assert len(views.pixels) == len(views.places) > 0, f"mutant {seed} of {name!r} has no views"
        outcome = "views"
    assert time.process_time() - began_s < SLOWEST_S, f"mutant {seed} of {name!r} took too long"
    return name, outcome


@pytest.mark.parametrize("name", SEEDS)
def test_what_is_mutated_can_be_read_at_first(name: str) -> None:
    assert len(preprocess(SEEDS[name], 16, LIMITS, Deadline.after(60)).pixels) > 0


@pytest.mark.skipif(LONG_RUN_S > 0, reason="PICTWARDEN_FUZZ_S asks for the long run")
def test_mutants_end_in_views_or_in_one_of_our_errors() -> None:
    outcomes = Counter(outcome for _, outcome in map(outcome_of, range(SHORT_RUN_MUTANTS)))
    # Else they are mutated so lightly, or so heavily, that no decoder sees anything of interest.
    assert min(outcomes["views"], outcomes["undecodable"]) > SHORT_RUN_MUTANTS // 20


@pytest.mark.skipif(LONG_RUN_S <= 0, reason="set PICTWARDEN_FUZZ_S to the seconds that it shall take")
@pytest.mark.timeout(LONG_RUN_S + 60)
def test_mutants_end_so_for_as_long_as_asked(tmp_path: Path) -> None:
    first = seed = int(time.time()) << 24
    # A crash inside a decoder ends this process: what it crashed on must be known elsewhere.
    under_way = tmp_path / "seed-under-way"
    print(f"\nfrom seed {first}; the seed under way is written to {under_way}", flush=True)
    ends_s = time.monotonic() + LONG_RUN_S
    report_s = time.monotonic() + REPORT_EVERY_S
    outcomes: Counter[tuple[str, str]] = Counter()
    while time.monotonic() < ends_s:
        under_way.write_text(str(seed))
        outcomes[outcome_of(seed)] += 1
        seed += 1
        if time.monotonic() >= report_s:
            report_s += REPORT_EVERY_S
            print(f"{seed - first} mutants, {ends_s - time.monotonic():.0f} s to go", flush=True)
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:20} {outcome:12} {count}")
