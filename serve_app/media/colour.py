"""A decoded picture of any mode to what a person would see of it: RGB, 8 bits, nothing transparent.

Covers colour profiles (ICC), palettes, CMYK, LAB, 16 bits, floating point and transparency. Which way up a picture is
shown is the matter of :mod:`serve_app.media.orientation`.

One picture may have several *readings*, and each is looked at, because viewers do not agree on which to show:

* one with transparency is given over white and over black: on either alone, something drawn in that colour would be
  invisible to the model;
* one whose colour profile, gamma or primaries make another picture of it is given with and without: that is a known
  way of showing one picture to the checker and another to the public;
* one of PQ or HLG is given tone-mapped, and as it stands: programs without HDR show the latter;
* one whose transparency some programs leave out is given without it too.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from serve_app.media.aperture import apertures
from serve_app.media.chromaticities import other_chromaticities
from serve_app.media.decoder_errors import DECODER_ERRORS
from serve_app.media.parsers.cicp import Cicp, cicp_of_profile
from serve_app.media.tone_mapping import CICP_INFO, as_srgb, is_srgb

_BACKGROUNDS = ("white", "black")

_ALPHA_BLOCKS_PER_SIDE = 256
"""Transparency is judged after averaging to this many blocks (to twice as many) along the shorter side: finer than
any model sees."""

_OPAQUE = 255
_OPAQUE_ENOUGH = 250
"""Averaged alpha (of 255) from which on two backgrounds differ by at most 5 grey levels, so that one shows all."""

_SAME_COLOUR_LEVELS = 3
"""A profile that moves no colour by more grey levels than this is sRGB under one of its many names."""

_OTHER_PICTURE_LEVELS = 32
"""From this mean change of RGB on, in grey levels, a profile makes another picture. ProPhoto, the widest one that
photographs come with, makes 21."""

_SRGB_GAMMA = 1 / 2.2
_ODD_GAMMA_RATIO = 1.25
"""A PNG's gamma that is off by more than this factor is applied by some viewers, and visibly."""

_MAX_PROFILE_BYTES = 4_000_000
_MAX_CACHED_TRANSFORMS = 32

WITHOUT_ALPHA_INFO = "without_alpha"
"""Under which key of its ``info`` a picture carries what opens it without the transparency that some leave out."""

_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}
"""Pillow's mode: the colour space that a profile must be of to fit it (ICC.1:2022, table 19)."""


def as_rgb(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture in RGB: once per reading, which for nearly all pictures is once.

    Raises:
        ValueError: a mode that has no meaning in RGB.
    """
    for part in apertures(picture):
        for reading in _colour_readings(part):
            yield from _flatten(reading)
    if WITHOUT_ALPHA_INFO in picture.info:
        yield from as_rgb(picture.info[WITHOUT_ALPHA_INFO]())


def has_unusable_profile(picture: Image.Image) -> bool:
    """Whether it carries a colour profile that is damaged or does not fit its colours."""
    profile = picture.info.get("icc_profile")
    return isinstance(profile, bytes) and bool(profile) and _fitting_transform(profile, picture.mode) is None


# Colour


def _colour_readings(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture in RGB or RGBA, in each of the ways in which a viewer may understand its numbers."""
    profile = picture.info.get("icc_profile")
    cicp = _find_cicp(picture)
    if cicp is not None and not is_srgb(cicp):
        unmanaged = _unmanaged(picture)
        if cicp.is_hdr or cicp.is_disputed:
            yield unmanaged
        yield as_srgb(unmanaged, cicp)
        return
    transform = _find_transform(profile, picture.mode) if isinstance(profile, bytes) and profile else None
    if transform is not None:
        if transform.makes_another_picture:
            yield _unmanaged(picture)
        yield _managed(picture, transform)
        return
    unmanaged = _unmanaged(picture)
    yield unmanaged
    if profile:
        return
    ratio = _gamma_ratio(picture)
    if ratio is not None:
        yield _with_gamma(unmanaged, ratio)
    chromaticities = other_chromaticities(picture)
    if chromaticities is not None:
        yield chromaticities.as_srgb(unmanaged)


def _find_cicp(picture: Image.Image) -> Cicp | None:
    """What was found when the file was opened, or by pillow-heif in this picture of it, or in a profile."""
    found, nclx, profile = (picture.info.get(key) for key in (CICP_INFO, "nclx_profile", "icc_profile"))
    if isinstance(found, Cicp):
        return found
    if isinstance(nclx, dict):
        light = picture.info.get("content_light_level") or {}
        return Cicp(
            nclx["color_primaries"],
            nclx["transfer_characteristics"],
            float(light.get("max_content_light_level", 0)),
        )
    return cicp_of_profile(profile) if isinstance(profile, bytes) else None


def _unmanaged(picture: Image.Image) -> Image.Image:
    """The numbers taken for sRGB."""
    if picture.has_transparency_data:
        return _with_alpha(picture)
    if picture.mode == "LAB":
        return _managed(picture, _lab_transform())
    # Frames of an animation are painted on one canvas, the next over the last; a still needs no copy of its own.
    if picture.mode == "RGB" and getattr(picture, "n_frames", 1) == 1:
        return picture
    return _to_eight_bits(picture).convert("RGB")


class _Transform:
    """From a profile's colours, in pictures of ``mode``, to sRGB."""

    def __init__(self, source: ImageCms.ImageCmsProfile, mode: str) -> None:
        self.mode = mode
        self._transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.PERCEPTUAL
        )
        change = self._measure_change()
        self.changes_nothing = mode != "LAB" and bool(change.max() <= _SAME_COLOUR_LEVELS)
        # Ink is converted by rule of thumb where there is no profile, which is far from any profile's result.
        self.makes_another_picture = mode in ("RGB", "L") and bool(change.mean() > _OTHER_PICTURE_LEVELS)

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The picture, of ``mode``, in sRGB.

        Raises:
            ValueError: the transform failed.
        """
        try:
            transformed = ImageCms.applyTransform(picture, self._transform)
        except ImageCms.PyCMSError as error:  # not one of DECODER_ERRORS
            raise ValueError("the colours cannot be transformed") from error
        if transformed is None:  # only where it was asked to work in place
            raise ValueError("no picture came out of the transform")
        return transformed

    def _measure_change(self) -> NDArray[np.int_]:
        """By how many levels each colour of a coarse palette is moved."""
        palette = _palette_of(self.mode)
        plain = palette if self.mode == "LAB" else palette.convert("RGB")
        before, after = (np.asarray(each).astype(np.int_) for each in (plain, self(palette)))
        change: NDArray[np.int_] = np.abs(after - before)
        return change


class _TransformCache:
    """Transforms by the digest of their profile: building one takes longer than applying it to a small picture."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[tuple[bytes, str], _Transform | None] = OrderedDict()
        self._lock = Lock()

    def find(self, profile: bytes, mode: str) -> _Transform | None:
        """The transform, or ``None`` where the profile is unusable."""
        key = (hashlib.sha256(profile).digest(), mode)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        transform = _build_transform(profile, mode)
        with self._lock:
            self._kept[key] = transform
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return transform


_TRANSFORMS = _TransformCache(_MAX_CACHED_TRANSFORMS)


def _find_transform(profile: bytes, picture_mode: str) -> _Transform | None:
    """The transform, or ``None`` where the profile is unusable or changes nothing."""
    transform = _fitting_transform(profile, picture_mode)
    return None if transform is None or transform.changes_nothing else transform


def _fitting_transform(profile: bytes, picture_mode: str) -> _Transform | None:
    if len(profile) > _MAX_PROFILE_BYTES:
        return None
    if picture_mode in ("CMYK", "LAB"):
        return _TRANSFORMS.find(profile, picture_mode)
    # A grey picture may carry a profile for RGB, and a palette or RGB picture one for RGB only.
    grey = picture_mode in ("L", "LA", "La", "1", "F") or picture_mode.startswith("I")
    return (_TRANSFORMS.find(profile, "L") if grey else None) or _TRANSFORMS.find(profile, "RGB")


def _build_transform(profile: bytes, mode: str) -> _Transform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _PROFILE_SPACES[mode]:
            return None
        return _Transform(source, mode)
    except (ImageCms.PyCMSError, *DECODER_ERRORS):
        return None  # browsers ignore it too: the numbers are then sRGB


@functools.cache
def _lab_transform() -> _Transform:
    return _Transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


@functools.cache
def _palette_of(mode: str) -> Image.Image:
    """Every combination of five levels per channel, one pixel each."""
    channels = len(mode) if mode != "L" else 1
    levels = np.linspace(0, 255, 5 if channels > 1 else 256).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * channels), axis=-1).reshape(1, -1, channels)
    return Image.frombytes(mode, (grid.shape[1], 1), grid.tobytes())


def _managed(picture: Image.Image, transform: _Transform) -> Image.Image:
    """The picture in sRGB; its transparency, which has no colour, stays as it is."""
    if picture.has_transparency_data:
        rgba = _with_alpha(picture)
        colours = transform(rgba.convert(transform.mode))
        colours.putalpha(rgba.getchannel("A"))
        return colours
    eight_bits = _to_eight_bits(picture)
    return transform(eight_bits if eight_bits.mode == transform.mode else eight_bits.convert(transform.mode))


def _gamma_ratio(picture: Image.Image) -> float | None:
    """The exponent by which a PNG's gamma (W3C PNG, 11.3.2.2) departs from sRGB's, if a viewer may care."""
    gamma = picture.info.get("gamma")
    if picture.format != "PNG" or not isinstance(gamma, float) or gamma <= 0 or "srgb" in picture.info:
        return None
    ratio = _SRGB_GAMMA / gamma
    return ratio if max(ratio, 1 / ratio) > _ODD_GAMMA_RATIO else None


def _with_gamma(picture: Image.Image, ratio: float) -> Image.Image:
    curve = [round(255 * (level / 255) ** ratio) for level in range(256)]
    unchanged = list(range(256))
    return picture.point(curve * 3 + (unchanged if picture.mode == "RGBA" else []))


# Transparency


def _flatten(picture: Image.Image) -> Iterator[Image.Image]:
    """An RGB or RGBA picture without transparency: once if that hides nothing, else once per background."""
    if picture.mode != "RGBA":
        yield picture
        return
    if picture.getchannel("A").getextrema() == (_OPAQUE, _OPAQUE):
        yield picture.convert("RGB")
        return
    backgrounds = _BACKGROUNDS if _hides_anything(picture.getchannel("A")) else _BACKGROUNDS[:1]
    for background in backgrounds:
        canvas = Image.new("RGBA", picture.size, background)
        canvas.alpha_composite(picture)
        yield canvas.convert("RGB")


def _hides_anything(alpha: Image.Image) -> bool:
    """Over white and over black a pixel differs by exactly what its alpha lacks to 255."""
    lowest, _ = alpha.getextrema()
    if not isinstance(lowest, int | float) or lowest >= _OPAQUE_ENOUGH:
        return False
    block_px = max(1, min(alpha.size) // _ALPHA_BLOCKS_PER_SIDE)
    if block_px == 1:
        return True
    return bool(np.asarray(alpha.reduce(block_px)).min() < _OPAQUE_ENOUGH)


def _with_alpha(picture: Image.Image) -> Image.Image:
    if picture.mode == "I;16":
        # PNG's one transparent grey, which Pillow's own conversion of 16 bits forgets.
        opaque = np.asarray(picture) != picture.info["transparency"]
        rgba = _to_eight_bits(picture).convert("RGBA")
        rgba.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
        return rgba
    if picture.mode == "La":
        picture = picture.convert("LA")  # the only conversion that Pillow has for it
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


# Depth


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow's own conversion clips deep grey at 255, which would show the model a white picture."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        return Image.fromarray(_stretch(np.nan_to_num(np.asarray(picture).astype(np.float64))))
    return picture


def _stretch(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Numbers without a known range to 0..255: by the smallest usual range that holds them, else by their own."""
    low = min(0.0, float(values.min()))
    high = float(values.max())
    top = next((usual for usual in (1.0, 255.0, 65_535.0) if high <= usual), high)
    return ((values - low) * (255 / (top - low))).clip(0, 255).astype(np.uint8)
