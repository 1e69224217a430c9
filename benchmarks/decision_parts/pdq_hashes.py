"""What a PDQ costs, and how far it is from the reference's. Needs ``pdqhash``, which `make test` installs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageOps

from benchmarks.bodies import photo_like_image
from benchmarks.decision_parts.part import Options, Part
from benchmarks.record import at_most, table
from serve_app.domain import Deadline, NotScannedError, UnscannedError
from serve_app.domain.limits import MediaLimits
from serve_app.media import preprocess
from serve_app.media.fingerprints import fingerprint
from serve_app.media.frames import Frame

_MOST_CORE_MS = 1.5
_MOST_BITS = 10
_SHARE = 0.95
_DRAWN = 60

_REDUCED_PX = 256
_REFERENCE_PX = 512
_FOR_VIEWS_PX = (640, 480)
_VIEW_PX = 224
_DEADLINE_S = 60.0
_ROUNDS = 200
_JPEGS = (".jpg", ".jpeg")


def measure(options: Options) -> Part:
    """On the JPEGs of folders, or on drawn ones."""
    whose = "the JPEGs of a folder" if options.media else "drawn pictures"
    distances = [each for body in _bodies(options) if (each := _distance_bits(body)) is not None]
    bits = float(np.quantile(distances, _SHARE, method="inverted_cdf")) if distances else None
    columns = {"pictures": 0, "compared": 0, "median bits": 0, "p95 bits": 0, "most bits": 0}
    median_bits = float(np.median(distances)) if distances else None
    row = (whose, len(distances), median_bits, bits, max(distances, default=None))
    picture = Image.open(io.BytesIO(photo_like_image(1024, "JPEG", options.seed, quality=85))).convert("RGB")
    reduced = picture.resize((_REDUCED_PX, _REDUCED_PX * 3 // 4))
    of_reduced = _core_ms(lambda: fingerprint(Frame(0, reduced, picture.size)))
    for_views = picture.resize(_FOR_VIEWS_PX)
    of_views = _core_ms(lambda: fingerprint(Frame(0, for_views, picture.size)))
    costs = (
        ("of a reduction to 256 px", of_reduced),
        (f"of what views are cut from, {_FOR_VIEWS_PX[0]} px", of_views),
    )
    note = "The reference hashes the whole picture, squeezed to 512x512 if it is larger; ours what was decoded small."
    tables = [
        table("PDQ, core-ms of a picture", {"what": 0, "core-ms": 2}, costs),
        table("PDQ, distance to the reference", columns, [row], note),
    ]
    return tables, [
        at_most("PDQ of a reduction to 256 px", of_reduced, _MOST_CORE_MS, "core-ms", 2),
        at_most(f"distance to the reference, of {_SHARE:.0%} of {whose}", bits, _MOST_BITS, "bits"),
    ]


def fingerprint_core_ms(body: bytes) -> float:
    """What the fingerprint of a still costs, from the picture that its views are cut from."""
    with Image.open(io.BytesIO(body)) as picture:
        frame = Frame(0, picture.convert("RGB").resize(_FOR_VIEWS_PX), picture.size)
    return _core_ms(lambda: fingerprint(frame))


def _bodies(options: Options) -> Iterator[bytes]:
    if not options.media:
        for number in range(_DRAWN):
            yield photo_like_image(400 + 37 * number, "JPEG", options.seed + number, quality=85)
        return
    for file in sorted(
        {file for folder in options.media for file in folder.rglob("*") if file.suffix.lower() in _JPEGS}
    ):
        yield file.read_bytes()


def _distance_bits(body: bytes) -> int | None:
    """Bits between our PDQ and the reference's; None where a file is no picture to one of them."""
    import pdqhash

    try:
        views = preprocess(body, _VIEW_PX, MediaLimits(), Deadline.after(_DEADLINE_S))
        with Image.open(io.BytesIO(body)) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (UnscannedError, NotScannedError, OSError):
        return None
    if max(picture.size) > _REFERENCE_PX:
        picture = picture.resize((_REFERENCE_PX, _REFERENCE_PX), Image.Resampling.LANCZOS)
    bits, _ = pdqhash.compute(np.asarray(picture))
    theirs = np.packbits(bits.astype(np.uint8)).tobytes()
    return (int.from_bytes(theirs) ^ int.from_bytes(views.fingerprints[0].pdq)).bit_count()


def _core_ms(work: Callable[[], object]) -> float:
    """The median of the processor time of all threads."""
    work()
    times_s = []
    for _ in range(_ROUNDS):
        began_s = time.process_time()
        work()
        times_s.append(time.process_time() - began_s)
    return float(np.median(times_s)) * 1e3
