"""The part of an AVIF that is shown: its clean aperture, which browsers cut out and other programs ignore."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

APERTURE_INFO = "clean_aperture"
"""Under which key of its ``info`` a picture has what :mod:`serve_app.media.parsers.clean_aperture` found."""


def apertures(picture: Image.Image) -> Iterator[Image.Image]:
    """The whole picture, and the part of it that browsers show if that is another."""
    yield picture
    box = picture.info.get(APERTURE_INFO)
    if box is None:
        return
    left, top, right, bottom = box
    width_px, height_px = picture.size
    at = (int(left * width_px), int(top * height_px))
    part = picture.crop((*at, max(at[0] + 1, round(right * width_px)), max(at[1] + 1, round(bottom * height_px))))
    part.format = picture.format
    yield part
