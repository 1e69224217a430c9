"""AVIF: AV1 by the encoders of Pillow and libav, in containers of Pillow's and of our own."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from functools import partial
from typing import Any

import av
from PIL import Image

from tests.e2e.browser.generated import heif_boxes as boxes
from tests.e2e.browser.generated.drawing import (
    ORIENTATIONS,
    SIZE_PX,
    TURNS,
    XMP_ORIENTATION_6,
    Makers,
    draw,
    draw_other,
    encode,
    exif_with_orientation,
)
from tests.e2e.browser.generated.hdr import graded
from tests.e2e.browser.generated.heif_boxes import Item, heif
from tests.e2e.browser.generated.libav import SIZE_PX as DEEP_SIZE_PX
from tests.e2e.browser.generated.libav import Colours, frame_of
from tests.e2e.browser.generated.profiles import RGB_PROFILES
from tests.usual_priority import usual_priority

_CODE_POINTS = {
    "srgb": (1, 13),
    "bt709": (1, 1),
    "linear": (1, 8),
    "gamma-2.2": (1, 4),
    "unspecified": (2, 2),
    "display-p3": (12, 13),
    "bt2020": (9, 14),
    "pq": (9, 16),
    "pq-p3": (12, 16),
    "hlg": (9, 18),
}
"""Name: colour primaries and transfer characteristics (ITU-T H.273)."""


def drawn(mode: str = "RGB", size_px: tuple[int, int] = SIZE_PX, **options: Any) -> bytes:
    """The drawing as Pillow writes it."""
    return encode(draw(size_px, mode), "AVIF", **{"quality": 90, "speed": 9, **options})


def _coded(picture: Image.Image, **options: Any) -> tuple[bytes, bytes]:
    """The AV1 of a picture without transparency, and its property av1C."""
    written = encode(picture, "AVIF", quality=90, speed=9, **options)
    return boxes.find(written, b"mdat"), boxes.box(b"av1C", boxes.find(written, b"meta", b"iprp", b"ipco", b"av1C"))


def _item(picture: Image.Image, *properties: bytes, **options: Any) -> Item:
    """A picture as an item, with these properties besides its size and its configuration."""
    data, configuration = _coded(picture)
    return Item(data, [boxes.size(*picture.size), configuration, *properties], **options)


def _alpha_item(*, has_size: bool = True, to: int = 1) -> Item:
    data, configuration = _coded(draw(mode="RGBA").getchannel("A").convert("RGB"), subsampling="4:0:0")
    size = [boxes.size(*SIZE_PX)] if has_size else []
    properties = [*size, configuration, boxes.auxiliary(boxes.ALPHA_URN)]
    return Item(data, properties, references=[(b"auxl", [to])])


def _still(*properties: bytes) -> bytes:
    return heif([_item(draw(), *properties)])


def _with_metadata(kind: bytes, content: bytes, *properties: bytes, **options: Any) -> bytes:
    return heif([_item(draw(), *properties), Item(content, kind=kind, references=[(b"cdsc", [1])], **options)])


def _exif_item(orientation: int) -> bytes:
    return bytes(4) + exif_with_orientation(orientation)


def _deep(primaries: int, transfer: int) -> bytes:
    """The drawing in 10 bits, as libav writes it."""
    colours = Colours(primaries, transfer, primaries)
    file = io.BytesIO()
    with usual_priority(), av.open(file, "w", format="avif") as container:
        stream: Any = container.add_stream("libsvtav1", rate=1, options={"crf": "10", "preset": "10"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = *DEEP_SIZE_PX, "yuv420p10le", Fraction(1, 1)
        colours.state(stream.codec_context)
        frame = frame_of(draw(DEEP_SIZE_PX), "yuv420p10le", colours, 0, 1)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def stills() -> Makers:
    """Subsamplings, ranges, depths, sizes, transparency."""
    for mode in ("L", "RGB", "RGBA"):
        yield f"avif-{mode.lower()}.avif", partial(drawn, mode)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        for extent in ("full", "limited"):
            name = f"avif-{subsampling.replace(':', '')}-{extent}-range.avif"
            yield name, partial(drawn, subsampling=subsampling, range=extent)
    for size_px in ((65, 67), (97, 71), (1000, 71), (600, 700)):
        yield f"avif-{size_px[0]}x{size_px[1]}.avif", partial(drawn, size_px=size_px)
    yield "avif-premultiplied.avif", partial(drawn, "RGBA", alpha_premultiplied=True)
    yield "avif-alpha-without-size.avif", lambda: heif([_item(draw()), _alpha_item(has_size=False)])
    yield "avif-alpha.avif", _with_alpha
    yield "avif-alpha-associated-apart.avif", lambda: heif([_item(draw()), _alpha_item()], associates_apart=True)
    yield "avif-alpha-ahead.avif", lambda: heif([_alpha_item(to=2), _item(draw())], primary=2)
    yield "avif-10-bit.avif", partial(_deep, 1, 13)
    yield "avif-10-bit-pq.avif", partial(_deep, 9, 16)
    yield "avif-10-bit-hlg.avif", partial(_deep, 9, 18)
    yield "avif-tiled-by-encoder.avif", partial(drawn, size_px=(600, 700), tile_rows=1, tile_cols=1)
    yield "avif-cut.avif", lambda: drawn()[:-200]
    yield "avif-garbage-behind.avif", lambda: drawn() + b"drawn" * 20


def _with_alpha(*properties: bytes) -> bytes:
    return heif([_item(draw(), *properties), _alpha_item()])


def colours() -> Makers:
    """Code points and profiles."""
    for name, (primaries, transfer) in _CODE_POINTS.items():
        code = boxes.code_points(primaries, transfer)
        yield f"avif-cicp-{name}.avif", partial(_still, code)
        yield f"avif-cicp-{name}-rgba.avif", partial(_with_alpha, code)
    yield "avif-cicp-pq-graded.avif", lambda: heif([_item(graded(draw()), boxes.code_points(9, 16))])
    for name, profile in RGB_PROFILES.items():
        yield f"avif-profile-{name}.avif", partial(_still, boxes.code_points(2, 2), boxes.profile(profile))
        yield f"avif-profile-{name}-rgba.avif", partial(drawn, "RGBA", icc_profile=profile)
    both = boxes.profile(RGB_PROFILES["display-p3"]), boxes.code_points(9, 16)
    yield "avif-cicp-pq-and-profile.avif", partial(_still, *both)
    for matrix in (1, 5, 6, 9):
        yield f"avif-matrix-{matrix}.avif", partial(_still, boxes.code_points(1, 13, matrix))


def places() -> Makers:
    """What turns, crops, hides or replaces the picture."""
    for orientation in ORIENTATIONS:
        exif = b"Exif\0\0" + exif_with_orientation(orientation)
        yield f"avif-orientation-{orientation}.avif", partial(drawn, exif=exif)
        yield f"avif-exif-orientation-{orientation}.avif", partial(_with_metadata, b"Exif", _exif_item(orientation))
    yield "avif-turned-and-exif-orientation-3.avif", partial(_with_metadata, b"Exif", _exif_item(3), boxes.turned(1))
    yield (
        "avif-xmp-orientation-6.avif",
        partial(_with_metadata, b"mime", XMP_ORIENTATION_6, content_type=b"application/rdf+xml"),
    )
    for axis in (0, 1):
        yield f"avif-mirrored-{axis}.avif", partial(_still, boxes.mirrored(axis))
        for quarters in range(1, 4):
            properties = boxes.turned(quarters), boxes.mirrored(axis)
            yield f"avif-turned-{quarters}-mirrored-{axis}.avif", partial(_still, *properties)
    yield "avif-cropped.avif", partial(_still, boxes.cropped(80, 70, 40, -20))
    yield "avif-cropped-and-turned.avif", partial(_still, boxes.cropped(80, 70, 40, -20), boxes.turned(1))
    yield "avif-cropped-to-uneven-size.avif", partial(_still, boxes.cropped(71, 67, 0, 0))
    yield "avif-primary-is-second.avif", lambda: heif([_item(draw_other()), _item(draw())], primary=2)
    yield "avif-second-is-hidden.avif", lambda: heif([_item(draw()), _item(draw_other(), is_hidden=True)])
    yield "avif-thumbnail.avif", lambda: heif([_item(draw()), _item(draw_other((64, 64)), references=[(b"thmb", [1])])])
    yield "avif-grid.avif", _grid
    yield "avif-grid-turned.avif", partial(_grid, boxes.turned(1))
    yield "avif-unknown-property.avif", partial(_still, boxes.box(b"drwn", b"drawn"))


def _grid(*properties: bytes) -> bytes:
    """Two halves side by side, each an item."""
    picture = draw((128, 96))
    halves = [_item(picture.crop((left, 0, left + 64, 96)), is_hidden=True) for left in (0, 64)]
    layout = struct.pack(">BBBBHH", 0, 0, 0, 1, *picture.size)
    grid = Item(layout, [boxes.size(*picture.size), *properties], kind=b"grid", references=[(b"dimg", [2, 3])])
    return heif([grid, *halves])


def _animation(mode: str = "RGB", **options: Any) -> bytes:
    """The drawing, and another picture after it."""
    return drawn(mode, save_all=True, append_images=[draw_other(mode=mode)], duration=1000, **options)


def _animation_with_another_still() -> bytes:
    """An animation whose still item is none of its frames: readers without animations show that one."""
    animation = bytearray(_animation())
    still, _ = _coded(draw().transpose(TURNS[2]))
    at = animation.index(b"iloc") + 4 + 4 + 2 + 2 + 6
    struct.pack_into(">II", animation, at, len(animation) + 8, len(still))
    return bytes(animation) + boxes.box(b"mdat", still)


def animations() -> Makers:
    """Image sequences."""
    yield "avif-animated.avif", _animation
    yield "avif-animated-rgba.avif", partial(_animation, "RGBA")
    upright, turned = exif_with_orientation(1), exif_with_orientation(6)
    yield "avif-animated-exif-orientation-6.avif", lambda: _animation(exif=upright).replace(upright, turned)
    yield "avif-animated-profile-linear.avif", partial(_animation, icc_profile=RGB_PROFILES["linear"])
    yield "avif-animated-with-another-still.avif", _animation_with_another_still
    yield "avif-animated-says-still.avif", lambda: _animation().replace(b"avis", b"avif", 1)
    yield (
        "avif-animated-says-still-with-another-still.avif",
        lambda: _animation_with_another_still().replace(b"avis", b"avif", 1),
    )


def files() -> Makers:
    """All of them."""
    yield from stills()
    yield from colours()
    yield from places()
    yield from animations()
