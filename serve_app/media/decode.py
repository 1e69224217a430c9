"""Bytes to an opened picture, under limits. Pixels are allocated only after the header has been believed.

=============  ===========================================  ==========================================================
type           sizes known before pixels are allocated by   a cut file is noticed by
=============  ===========================================  ==========================================================
JPEG, MPO      Pillow, each picture                         libjpeg (no end marker); a second picture that is not there
PNG, APNG      Pillow                                       Pillow; a missing last chunk takes no pixel with it
GIF            Pillow, each frame                           us: Pillow shows the frames that are left
WebP           us: Pillow allocates two canvases            libwebp
AVIF           libavif, or us                               us: what the items and the track point at
HEIC, HEIF     libheif, each picture                        us: what the items and the track point at
JPEG XL        us: the plugin decodes while it opens        libjxl, and us for the container
TIFF           Pillow, each page                            Pillow
BMP            Pillow                                       Pillow
=============  ===========================================  ==========================================================

A container's size may differ from that of the coded picture inside it (AVIF, HEIF). libavif, libheif and libjxl refuse
that, or decode into the size they announced; what they allocate on the way is bounded by the worker's memory limit.

Pictures besides the first: the pages of a TIFF, the further pictures of an MPO (stereo, bursts) and of a HEIF are all
looked at, so there may be no more of them than frames that are looked at. Thumbnails, depth maps and gain maps are not:
viewers show them beside or inside the picture, never instead of it.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile

from serve_app.domain import TooLargeError, TruncatedError, UndecodableError
from serve_app.media.aperture import APERTURE_INFO, aperture_of
from serve_app.media.avif import decode_primary
from serve_app.media.cicp import cicp_of_avif, cicp_of_png
from serve_app.media.containers import count_gif_frames, count_jpeg_scans, require_plain_apng, webp_size
from serve_app.media.decoders import register_decoders
from serve_app.media.heif_items import is_cut, primary_item
from serve_app.media.jxl import codestream_of, decode_codestream, read_header
from serve_app.media.limits import MediaLimits, require_few
from serve_app.media.sniff import unsupported
from serve_app.media.tone_mapping import CICP_INFO

_PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
}

# Types whose further pictures are pages: each may be another picture, so that none may be left out by sampling.
_PAGED = frozenset({"image/jpeg", "image/tiff", "image/heic", "image/heif"})

_MAX_JPEG_SCANS = 100
"""Each scan of a progressive JPEG passes over all coefficients. Encoders write about ten; a thousand stop a core."""

_TIFF_SUB_IFDS = 330
_TIFF_DNG_VERSION = 50706

# What Pillow's plugins raise on bytes that are not what their header says. SyntaxError is its own word for "not this
# format"; the others come out of parsers that trusted a length. A MemoryError is theirs too: the pixels are bounded
# before they are allocated, so it is a lying header and not our need.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    RuntimeError,
    MemoryError,
    AssertionError,
    struct.error,
    ZeroDivisionError,
)


# PNG stores grey of 2 and 4 bits; Pillow spreads the pixels over 0..255, and leaves the transparent grey as it was.
_GREY_STEPS = {"L;2": 85, "L;4": 17}


@contextlib.contextmanager
def decoding(media_type: str) -> Iterator[None]:
    """Turns what a decoder raises on bad bytes into the two words that we have for it.

    Raises:
        UndecodableError: the bytes are not what they say.
        TooLargeError: Pillow's own last line against a picture that is small only in its header.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata that we do not read; a picture is not undecodable for it.
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise TooLargeError("more pixels than any limit allows") from error
    except DECODER_ERRORS as error:
        raise UndecodableError(f"not a readable {media_type}: {type(error).__name__}") from error


def open_picture(body: bytes, media_type: str, limits: MediaLimits) -> Image.Image:
    """The picture at its first frame, with its header read; no pixel is decoded (of a JPEG XL: after its header was).

    Raises:
        TruncatedError: the end of the file is missing.
        UndecodableError: the header cannot be read, or the file is cut short in a way that a decoder would not notice.
        UnsupportedError: no still or animation, or one with a feature that we cannot look at all of.
        TooLargeError: the header promises more pixels, frames or pages than ``limits`` allow.
    """
    if media_type == "image/jxl":
        return _open_jxl(body, limits)
    if media_type == "image/avif":
        return _open_avif(body, limits)
    if media_type not in _PILLOW_FORMATS:
        raise unsupported(media_type)
    with decoding(media_type):
        _require_sane_container(body, media_type, limits)
        register_decoders()
        # Only the sniffed format's plugin may look: otherwise bytes of one type could be read as another.
        picture = Image.open(io.BytesIO(body), formats=[_PILLOW_FORMATS[media_type]])
        require_few_pixels(picture, limits)
        if media_type == "image/tiff":
            _require_plain_tiff(picture, limits)
        _require_few_frames(picture, media_type, limits)
        if media_type in _PAGED and picture.tell() != 0:
            picture.seek(0)  # a HEIF opens at its primary picture, which need not be the first
            require_few_pixels(picture, limits)
    _settle_transparent_colour(picture)
    if media_type == "image/png":
        picture.info[CICP_INFO] = cicp_of_png(body)
    return picture


def _open_jxl(body: bytes, limits: MediaLimits) -> Image.Image:
    with decoding("image/jxl"):
        codestream = codestream_of(body)
        header = read_header(codestream)
        require_few(header.width_px, header.height_px, limits)
        if header.animated:
            # pict-rs takes no animated JPEG XL either, and no decoder here would show more than one frame of it.
            raise unsupported("an animated image/jxl")
        if header.hidden_channels:
            # What they add to the picture would be missing from what the model is shown.
            raise unsupported(f"an image/jxl with {header.hidden_channels} channels of ink besides its colours")
        return decode_codestream(codestream, header)


def _open_avif(body: bytes, limits: MediaLimits) -> Image.Image:
    """By libavif, and by our second reader a still that libavif refuses; one still is decoded at once, to know that."""
    register_decoders()
    with decoding("image/avif"):
        _require_whole_items(body, "image/avif")
        try:
            picture: Image.Image = Image.open(io.BytesIO(body), formats=["AVIF"])
            require_few_pixels(picture, limits)
            _require_few_frames(picture, "image/avif", limits)
            if not getattr(picture, "is_animated", False):
                picture.load()
        except DECODER_ERRORS:
            if body[8:12] == b"avis":
                raise  # the still beside a sequence that cannot be read is not what the file shows
            picture = decode_primary(body, limits)
        picture.info[CICP_INFO] = cicp_of_avif(body)
        picture.info[APERTURE_INFO] = aperture_of(primary_item(body))
    return picture


def _require_whole_items(body: bytes, media_type: str) -> None:
    if is_cut(body):
        raise TruncatedError(f"the end of this {media_type} is missing")


def _require_sane_container(body: bytes, media_type: str, limits: MediaLimits) -> None:
    """What a decoder would notice too late or not at all.

    Raises:
        DECODER_ERRORS, UnsupportedError, TooLargeError: as :func:`open_picture`.
    """
    match media_type:
        case "image/gif":
            frames = count_gif_frames(body, at_most=limits.max_frames_total)
            if frames > limits.max_frames_total:
                raise TooLargeError(f"{frames} frames are more than {limits.max_frames_total}")
        case "image/png":
            require_plain_apng(body)
        case "image/webp":
            require_few(*webp_size(body), limits)
        case "image/heic" | "image/heif":
            _require_whole_items(body, media_type)
        case "image/jpeg" if count_jpeg_scans(body, _MAX_JPEG_SCANS) > _MAX_JPEG_SCANS:
            raise TooLargeError(f"a JPEG of more than {_MAX_JPEG_SCANS} scans")


def _require_plain_tiff(picture: Image.Image, limits: MediaLimits) -> None:
    """Walk the pages, as many as we would look at: to count them otherwise, Pillow would read any number."""
    page = 0
    with contextlib.suppress(EOFError):
        while page <= limits.max_frames:
            picture.seek(page)
            tags = getattr(picture, "tag_v2", {})
            if _TIFF_SUB_IFDS in tags or _TIFF_DNG_VERSION in tags:
                # The pages of a raw photograph are its thumbnails; the picture itself lies in a sub-directory.
                raise unsupported("an image/tiff with pictures inside its pages")
            require_few_pixels(picture, limits)
            page += 1
    if page > limits.max_frames:
        raise TooLargeError(f"more pages than {limits.max_frames}")
    picture.seek(0)


def _require_few_frames(picture: Image.Image, media_type: str, limits: MediaLimits) -> None:
    frames_total = int(getattr(picture, "n_frames", 1))
    if frames_total < 1:
        raise UndecodableError(f"an {media_type} without a frame")
    if frames_total > limits.max_frames_total:
        raise TooLargeError(f"{frames_total} frames are more than {limits.max_frames_total}")
    if media_type in _PAGED and frames_total > limits.max_frames:
        raise TooLargeError(f"{frames_total} pictures in one file are more than {limits.max_frames}")


class ShrunkPictures:
    """Opens one body's picture anew at each call, decoded at a reduced scale already where the format can.

    ``full_size_px`` is the size that the header gave the last one, which a reduced scale hides.
    """

    def __init__(self, body: bytes, media_type: str, limits: MediaLimits, shorter_side_px: int) -> None:
        self._body = body
        self._media_type = media_type
        self._limits = limits
        self._shorter_side_px = shorter_side_px
        self.full_size_px = (0, 0)

    def __call__(self) -> Image.Image:
        """Raises what :func:`open_picture` does."""
        picture = open_picture(self._body, self._media_type, self._limits)
        self.full_size_px = picture.size
        if not shrink_on_load(picture, self._shorter_side_px):
            return picture
        try:
            with decoding(self._media_type):
                picture.load()
        except UndecodableError:
            # Some whole JPEGs decode at full size only. Whether this is one, or is broken, the full decode will tell.
            return open_picture(self._body, self._media_type, self._limits)
        return picture


def require_few_pixels(picture: Image.Image, limits: MediaLimits) -> None:
    """Asked of every frame before its pixels are allocated: a later frame may be larger than the first.

    Raises:
        UndecodableError: the frame that ``picture`` stands at has no pixel.
        TooLargeError: it has more pixels than ``limits`` allow.
    """
    require_few(*picture.size, limits)


def _settle_transparent_colour(picture: Image.Image) -> None:
    """Put the one transparent colour of a PNG (its tRNS chunk) into the units of the pixels, before they are decoded.

    Otherwise nothing would match it: a browser would leave out what the model is shown, and show what it is not.
    """
    if picture.format != "PNG" or "transparency" not in picture.info:
        return
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile:
        return
    raw_mode = picture.tile[0].args
    if raw_mode == "RGB;16B":
        # Pillow drops the lower byte, after which colours that are transparent and opaque look alike.
        raise unsupported("an image/png with 16 bits and one transparent colour")
    if raw_mode in _GREY_STEPS:
        picture.info["transparency"] *= _GREY_STEPS[raw_mode]


def shrink_on_load(picture: Image.Image, shorter_side_px: int) -> bool:
    """Let a JPEG decode at 1/2, 1/4 or 1/8 scale, where its shorter side stays at least ``shorter_side_px``.

    A JPEG's blocks can be decoded at reduced size directly (the inverse DCT of fewer coefficients), which is exact
    down-sampling for a fraction of the cost. Other formats cannot, and stay as they are.

    Returns:
        Whether it will decode at a reduced scale.
    """
    full_size = picture.size
    picture.draft(None, (shorter_side_px, shorter_side_px))
    return picture.size != full_size
