"""The second reader of AVIF: takes over where libavif refuses a file that browsers show.

libavif, as Pillow opens it, asks for properties that browsers do without, as the size of the transparency. Here the
items are read by us, and their AV1 by libdav1d (through PyAV): the primary picture, or the grid of tiles that it is,
and its transparency.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import ExifTags, Image

from serve_app.domain.limits import MediaLimits
from serve_app.media.parsers.heif_items import HeifItem, HeifItems, data_of, read_items
from serve_app.media.parsers.heif_properties import matrix_of, orientation_of, read_grid, size_of
from serve_app.media.parsers.malformed import MalformedError
from serve_app.media.size import require_few

_AV1C_BYTES = 4
"""Of the configuration box, before the header that an item's own data may leave out."""

_MAX_TILES = 1024

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""libswscale's names of the matrices of ITU-T H.273. Of any other it takes the frame's own, or BT.601."""


def decode_primary(body: bytes, limits: MediaLimits) -> Image.Image:
    """The picture that an AVIF shows, in RGB or RGBA; which way up, is in its ``info`` as Pillow has it there.

    Raises:
        MalformedError: what the file names cannot be read as pictures.
        TooLargeError: more pixels than ``limits`` allow.
    """
    found = read_items(body)
    item = found.item(found.primary)
    picture = _decode(body, found, item, "rgb24", limits)
    alpha = found.alpha_of(found.primary)
    if alpha is not None:
        mask = _decode(body, found, found.item(alpha), "gray", limits).resize(picture.size)
        picture.putalpha(mask)
        if alpha in item.references.get(b"prem", ()):
            picture = Image.frombytes("RGBa", picture.size, picture.tobytes()).convert("RGBA")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation_of(item)
    picture.info["exif"] = exif.tobytes()
    for kind, content in item.properties:
        if kind == b"colr" and content[:4] in (b"prof", b"rICC"):
            picture.info["icc_profile"] = content[4:]
    return picture


def _decode(body: bytes, found: HeifItems, item: HeifItem, pixel_format: str, limits: MediaLimits) -> Image.Image:
    """An item's picture, ``rgb24`` or ``gray``, as it is coded."""
    if item.kind == b"grid":
        return _decode_grid(body, found, item, pixel_format, limits)
    if item.kind != b"av01":
        raise MalformedError("a picture that is no AV1")
    return _decode_av1(data_of(body, item.pieces), item, pixel_format, limits)


def _decode_grid(body: bytes, found: HeifItems, item: HeifItem, pixel_format: str, limits: MediaLimits) -> Image.Image:
    """The picture that the tiles of a grid make."""
    grid = read_grid(data_of(body, item.pieces))
    require_few(grid.width_px, grid.height_px, limits)
    tiles = item.references.get(b"dimg", [])
    if len(tiles) != grid.rows * grid.columns or len(tiles) > _MAX_TILES:
        raise MalformedError("a grid with other tiles than it needs")
    whole = Image.new("L" if pixel_format == "gray" else "RGB", (grid.width_px, grid.height_px))
    for at, identifier in enumerate(tiles):
        tile_item = found.item(identifier)
        if tile_item.kind != b"av01":
            raise MalformedError("a tile that is no AV1")
        tile = _decode_av1(data_of(body, tile_item.pieces), tile_item, pixel_format, limits)
        row, column = divmod(at, grid.columns)
        whole.paste(tile, (column * tile.width, row * tile.height))
    return whole


def _decode_av1(data: bytes, item: HeifItem, pixel_format: str, limits: MediaLimits) -> Image.Image:
    size_px = size_of(item)
    if size_px is not None:
        require_few(*size_px, limits)
    try:
        frame = next(_frames((item.property(b"av1C") or b"")[_AV1C_BYTES:] + data, limits), None)
        if frame is None:
            raise MalformedError("a picture without a frame")
        require_few(frame.width, frame.height, limits)
        return _picture_of(frame, item, pixel_format)
    except av.FFmpegError as error:
        raise MalformedError("no AV1") from error


def _picture_of(frame: av.VideoFrame, item: HeifItem, pixel_format: str) -> Image.Image:
    """The frame's colours as the item has them, or as its own header has them."""
    matrix, is_full = matrix_of(item) or (int(frame.colorspace), frame.color_range == ColorRange.JPEG)
    if frame.format.name.startswith("gray"):
        # libswscale takes grey for full range, whatever it is told.
        levels = np.asarray(frame.reformat(format="gray", threads=1).to_ndarray(), np.uint8)
        grey = Image.fromarray(levels if is_full else _widened(levels))
        return grey if pixel_format == "gray" else grey.convert("RGB")
    shown = frame.reformat(
        format=pixel_format,
        src_colorspace=_MATRICES.get(matrix),
        src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    return Image.fromarray(np.asarray(shown.to_ndarray(), np.uint8))


def _widened(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Limited range (16..235) to full."""
    return ((levels.astype(np.float32) - 16) * (255 / 219)).round().clip(0, 255).astype(np.uint8)


def _frames(data: bytes, limits: MediaLimits) -> Iterator[av.VideoFrame]:
    """The frames of an item; of one in layers, the largest that libdav1d puts out first."""
    context = cast(VideoCodecContext, av.CodecContext.create("libdav1d", "r"))
    context.thread_count = 1
    context.options = {"max_pixels": str(limits.max_pixels)}
    yield from context.decode(av.Packet(data))
    yield from context.decode(None)
