"""The picture in every file: coloured shapes, so placed that turning, mirroring or swapping channels shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Makers = Iterator[tuple[str, Callable[[], bytes]]]
"""Name of a file, its extension included: what makes its bytes."""

SIZE_PX = (120, 90)

ORIENTATIONS = range(1, 9)
"""The values of EXIF's orientation. The first asks for nothing; what the others ask for stands in :data:`TURNS`."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def draw(size_px: tuple[int, int] = SIZE_PX, mode: str = "RGB") -> Image.Image:
    """The drawing. With an alpha channel its right is transparent, and a bar beside that half so."""
    width, height = size_px
    picture = Image.new("RGB", size_px, (230, 180, 40))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, width * 0.5, height * 0.4), fill=(210, 30, 40))
    pen.rectangle((width * 0.7, 0, width, height * 0.6), fill=(20, 60, 150))
    pen.polygon([(0, height), (0, height * 0.5), (width * 0.6, height)], fill=(30, 40, 30))
    pen.ellipse((width * 0.65, height * 0.7, width * 0.95, height * 0.95), fill=(60, 190, 110))
    if mode in ("RGBA", "LA"):
        alpha = Image.new("L", size_px, 255)
        pen = ImageDraw.Draw(alpha)
        pen.rectangle((width * 0.5, 0, width * 0.65, height * 0.65), fill=128)
        pen.rectangle((width * 0.65, 0, width, height * 0.65), fill=0)
        picture.putalpha(alpha)
    return picture.convert(mode)


def draw_other(size_px: tuple[int, int] = SIZE_PX, mode: str = "RGB") -> Image.Image:
    """Another picture, for what must not be mistaken for the first: later frames, hidden pictures, thumbnails."""
    picture = draw(size_px, mode).transpose(Image.Transpose.ROTATE_180)
    levels = 255 - np.asarray(picture)
    if mode in ("RGBA", "LA"):
        levels[:, :, -1] = np.asarray(picture)[:, :, -1]
    return Image.fromarray(levels)


def draw_samples(mode: str, depth_bits: int) -> NDArray[np.uint16]:
    """The drawing in 0..2**depth_bits - 1, ``(height, width, channels)``. Deep ones also use their lower bits."""
    levels = np.asarray(draw(mode=mode)).astype(np.float64) / 255
    samples: NDArray[np.uint16] = np.round(levels * (2**depth_bits - 1)).astype(np.uint16)
    return samples.reshape(*samples.shape[:2], -1)


def encode(picture: Image.Image, encoding: str, **options: Any) -> bytes:
    """The picture as Pillow's encoder of that name writes it."""
    file = io.BytesIO()
    picture.save(file, encoding, **options)
    return file.getvalue()


def exif_with_orientation(orientation: int) -> bytes:
    """The TIFF structure of EXIF with nothing but the orientation, without the ``Exif`` mark before it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


XMP_ORIENTATION_6 = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
