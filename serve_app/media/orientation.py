"""Turns an opened picture the way up in which it is shown: once per reading.

Which orientations a file has is read by :mod:`serve_app.media.parsers.orientation_tags`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from PIL import Image, TiffImagePlugin

from serve_app.media.decoder_errors import DECODER_ERRORS
from serve_app.media.parsers.orientation_tags import AS_IT_STANDS, ORIENTATION_TAG, undone_by_some

ORIENTATIONS = "orientations"
"""Under this name :attr:`PIL.Image.Image.info` holds the orientations in which an opened picture is shown."""

_TIFF_XMP_TAG = 700

# What undoes each EXIF orientation. ImageOps.exif_transpose also writes the metadata anew, and fails where it is odd.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientations_of(picture: Image.Image) -> tuple[int, ...]:
    """The orientations in which an opened picture is shown at its present frame, asked before that is decoded.

    What opened it may have put them into its ``info``. Of a TIFF they belong to the page, and of other types to EXIF.
    """
    if ORIENTATIONS in picture.info:
        told: tuple[int, ...] = picture.info[ORIENTATIONS]
        return told
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        xmp, orientation = picture.tag_v2.get(_TIFF_XMP_TAG), picture.tag_v2.get(ORIENTATION_TAG, AS_IT_STANDS)
        return undone_by_some(orientation, [xmp] if isinstance(xmp, bytes) else [])
    try:
        return (picture.getexif().get(ORIENTATION_TAG, AS_IT_STANDS),)
    except DECODER_ERRORS:
        return (AS_IT_STANDS,)  # odd metadata does not make a picture unreadable


def turned(picture: Image.Image, orientations: Iterable[int]) -> Iterator[Image.Image]:
    """The picture once per orientation, upright if that is the right one."""
    for orientation in orientations:
        transposition = _TRANSPOSITIONS.get(orientation)
        yield picture if transposition is None else picture.transpose(transposition)
