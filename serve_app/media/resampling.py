"""A picture at another size by two of Pillow's kernels, in SIMD where the processor has some (ADR 12)."""

from __future__ import annotations

from enum import Enum

from PIL import Image

try:
    from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
except ImportError:  # pragma: no cover - it has no wheel for Linux on ARM
    HAS_SIMD = False
else:
    HAS_SIMD = True


class Kernel(Enum):
    """A kernel of resampling. Where a picture becomes smaller, it is widened until no pixel is passed over."""

    BILINEAR = Image.Resampling.BILINEAR
    BICUBIC = Image.Resampling.BICUBIC
    """With a = -0.5, which is also called Catmull and Rom's."""


def resampled(picture: Image.Image, width_px: int, height_px: int, kernel: Kernel) -> Image.Image:
    """A whole RGB ``picture`` at this size.

    Pillow and SIMD differ by two levels at most, except where a bicubic kernel overshoots black or white: each rounds
    and cuts off after its own first direction.
    """
    if not HAS_SIMD:
        return picture.resize((width_px, height_px), kernel.value)
    # Neither the library's areas nor its access to Pillow's memory: the first reads out of bounds, the second relies on
    # how Pillow lays out a picture.
    whole = ImageData(*picture.size, PixelType.U8x3, picture.tobytes())
    small = ImageData(width_px, height_px, PixelType.U8x3)
    kind = FilterType.bilinear if kernel is Kernel.BILINEAR else FilterType.catmull_rom
    Resizer().resize(whole, small, ResizeOptions(ResizeAlg.convolution(kind)))
    return Image.frombytes("RGB", (width_px, height_px), small.get_buffer())
