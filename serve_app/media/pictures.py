"""Bytes to an opened picture, under limits. Pixels are allocated only after the header has been believed.

=============  ===========================================  ==========================================================
type           sizes known before pixels are allocated by   a cut file is noticed by
=============  ===========================================  ==========================================================
JPEG, MPO      Pillow, each picture                         us: no end marker, of each picture that begins in the file
PNG, APNG      Pillow                                       us: no last chunk
GIF            us, the canvas and each frame                us: no trailer
WebP           us: Pillow allocates two canvases            us: shorter than it says
AVIF           libavif, or us                               us: what the items and the track point at
HEIC, HEIF     libheif, each picture                        us: what the items and the track point at
JPEG XL        us: the plugin decodes while it opens        libjxl, and us for the container
TIFF           Pillow, each page                            us: data that a page points at
BMP            us                                           us: fewer rows, or no last command
=============  ===========================================  ==========================================================

A container's size may differ from that of the coded picture inside it (AVIF, HEIF). libavif, libheif and libjxl refuse
that, or decode into the size they announced; what they allocate on the way is bounded by the worker's memory limit.

Pictures besides the first: the pages of a TIFF, the further pictures of a JPEG (stereo, bursts, gain maps) and of a
HEIF are all scanned, so there may be no more of them than frames that are. Thumbnails and depth maps are not: viewers
show them beside or inside the picture, never instead of it.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable

from PIL import ExifTags, Image, JpegImagePlugin

from serve_app.domain import TooLargeError, TruncatedError, UndecodableError
from serve_app.domain.limits import MediaLimits
from serve_app.media.aperture import APERTURE_INFO
from serve_app.media.avif_picture import decode_primary
from serve_app.media.bmp_picture import open_bmp
from serve_app.media.colour import WITHOUT_ALPHA_INFO, has_unusable_profile
from serve_app.media.decoder_errors import DECODER_ERRORS, decoding
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.gif_picture import open_gif
from serve_app.media.jxl_picture import decode_codestream
from serve_app.media.orientation import ORIENTATIONS
from serve_app.media.parsers.cicp import cicp_of_avif, cicp_of_png
from serve_app.media.parsers.clean_aperture import aperture_of
from serve_app.media.parsers.heif_items import is_cut, metadata_of, primary_item, without_alpha
from serve_app.media.parsers.jpeg import JpegPicture, jpeg_pictures
from serve_app.media.parsers.jxl import codestream_of, read_header
from serve_app.media.parsers.orientation_tags import AS_IT_STANDS, honoured_by_all, honoured_by_some
from serve_app.media.parsers.png import repaired_png
from serve_app.media.parsers.sniff import unsupported
from serve_app.media.parsers.tiff import is_whole_tiff
from serve_app.media.parsers.webp import completed_webp, is_whole_webp, webp_size
from serve_app.media.png_picture import PngPicture
from serve_app.media.size import require_few
from serve_app.media.tone_mapping import CICP_INFO
from serve_app.media.transparent_colour import settle_transparent_colour

_PILLOW_FORMATS = {
    "image/webp": "WEBP",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    "image/tiff": "TIFF",
}

# Types whose further pictures are pages: each may be another picture, so that none may be left out by sampling.
_PAGED = frozenset({"image/tiff", "image/heic", "image/heif"})

_READ_WHEN_CUT = frozenset({"image/webp", "image/tiff"})
"""Of the types that Pillow and its plugins open as they are. The others' decoders give nothing of a cut file."""

_TIFF_SUB_IFDS = 330
_TIFF_DNG_VERSION = 50706


Open = Callable[[], Image.Image]
"""Opens one picture anew at each call: at its first frame, with its header read. Only of a JPEG XL, a BMP and a PNG of
16 bits with a transparent colour are the pixels decoded already.

``info`` of what it returns has what :mod:`serve_app.media.orientation` and :mod:`serve_app.media.colour` ask for.
"""


def pictures_of(body: bytes, media_type: str, limits: MediaLimits, is_lenient: bool = False) -> list[Open]:
    """How to open each picture of a file: one, with its frames or pages, but for a JPEG of several pictures.

    Args:
        body: of the type ``media_type``.
        media_type: as :func:`serve_app.media.parsers.sniff.sniff` names it.
        limits: of what a header may promise.
        is_lenient: read a file whose end is missing as far as it goes.

    Raises:
        TruncatedError, TooLargeError: as :func:`open_picture`; the functions raise as that does.
    """
    if media_type != "image/jpeg":
        return [functools.partial(open_picture, body, media_type, limits, is_lenient)]
    with decoding(media_type):
        pictures = jpeg_pictures(body, limits.max_frames, is_lenient)
    return [functools.partial(_open_jpeg, picture, limits) for picture in pictures]


def open_picture(body: bytes, media_type: str, limits: MediaLimits, is_lenient: bool = False) -> Image.Image:
    """The (first) picture at its first frame, as :data:`Open` has it.

    Raises:
        TruncatedError: the end of the file is missing; where ``is_lenient``, so much of it that nothing can be shown.
        UndecodableError: the header cannot be read.
        UnsupportedError: no still or animation, or one with a feature that we cannot look at all of.
        TooLargeError: the header promises more pixels, frames or pages than ``limits`` allow.
    """
    match media_type:
        case "image/jxl":
            return _open_jxl(body, limits)
        case "image/avif":
            return _open_avif(body, limits)
        case "image/jpeg":
            return pictures_of(body, media_type, limits, is_lenient)[0]()
        case "image/png":
            return _open_png(body, limits, is_lenient)
        case "image/bmp":
            with decoding(media_type):
                return open_bmp(body, limits.max_pixels, is_lenient)
        case "image/gif":
            return _open_gif(body, limits, is_lenient)
        case _ if media_type in _PILLOW_FORMATS:
            return _open_other(body, media_type, limits, is_lenient)
    raise unsupported(media_type)


def _open_jpeg(jpeg: JpegPicture, limits: MediaLimits) -> Image.Image:
    with decoding("image/jpeg"):
        # Pillow's own door for this type also reads the index of further pictures.
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg.body))
        require_few_pixels(picture, limits)
    picture.info[ORIENTATIONS] = honoured_by_all(jpeg.exifs, jpeg.xmps)
    return picture


def _open_png(body: bytes, limits: MediaLimits, is_lenient: bool) -> Image.Image:
    with decoding("image/png"):
        png = repaired_png(body, is_lenient)
        picture = PngPicture(io.BytesIO(png.body))
        require_few_pixels(picture, limits)
        _require_few_frames(picture, "image/png", limits)
        picture.info[ORIENTATIONS] = honoured_by_some(png.exifs, png.xmps)
        if png.profile is not None:
            picture.info["icc_profile"] = png.profile
        picture.info[CICP_INFO] = cicp_of_png(png.body)
        return settle_transparent_colour(picture, png.body)


def _open_gif(body: bytes, limits: MediaLimits, is_lenient: bool) -> Image.Image:
    with decoding("image/gif"):
        picture = open_gif(body, limits, is_lenient)
        require_few_pixels(picture, limits)
    picture.info[ORIENTATIONS] = honoured_by_some((), picture.xmps)
    return picture


def _open_other(body: bytes, media_type: str, limits: MediaLimits, is_lenient: bool) -> Image.Image:
    with decoding(media_type):
        if not is_lenient or media_type not in _READ_WHEN_CUT:
            _require_whole(body, media_type)
        if media_type == "image/webp":
            body = completed_webp(body) if is_lenient else body
            require_few(*webp_size(body), limits)
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
    if media_type == "image/webp":
        found = {name: [picture.info[name]] if name in picture.info else [] for name in ("exif", "xmp")}
        picture.info[ORIENTATIONS] = honoured_by_some(found["exif"], found["xmp"])
    return picture


def _open_jxl(body: bytes, limits: MediaLimits) -> Image.Image:
    with decoding("image/jxl"):
        codestream = codestream_of(body)
        header = read_header(codestream)
        require_few(header.width_px, header.height_px, limits)
        if header.animated:
            # pict-rs takes no animated JPEG XL either, and no decoder here would show more than one frame of it.
            raise unsupported("image/jxl (animated)")
        if header.hidden_channels:
            # What they add to the picture would be missing from what the model is shown.
            raise unsupported(f"image/jxl with {header.hidden_channels} channels of ink besides its colours")
        return decode_codestream(codestream, header)


def _open_avif(body: bytes, limits: MediaLimits) -> Image.Image:
    """By libavif, and by our second reader a still that libavif refuses; one still is decoded at once, to know that."""
    register_decoders()
    is_refused = False
    with decoding("image/avif"):
        _require_whole(body, "image/avif")
        try:
            picture: Image.Image = Image.open(io.BytesIO(body), formats=["AVIF"])
            require_few_pixels(picture, limits)
            _require_few_frames(picture, "image/avif", limits)
            if not getattr(picture, "is_animated", False):
                picture.load()
        except DECODER_ERRORS:
            if body[8:12] == b"avis":
                raise  # the still beside a sequence that cannot be read is not what the file shows
            is_refused = True
            picture = decode_primary(body, limits)
        is_animated = getattr(picture, "is_animated", False)
        if not is_animated and picture.has_transparency_data and (is_refused or has_unusable_profile(picture)):
            # Browsers refuse such a picture, and show it without transparency where it stands in place of a video.
            opaque = without_alpha(body)
            if opaque != body:
                picture.info[WITHOUT_ALPHA_INFO] = functools.partial(_open_avif, opaque, limits)
        picture.info[CICP_INFO] = cicp_of_avif(body)
        picture.info[APERTURE_INFO] = aperture_of(primary_item(body))
        picture.info[ORIENTATIONS] = _orientations_of_avif(picture, body)
    return picture


def _orientations_of_avif(picture: Image.Image, body: bytes) -> tuple[int, ...]:
    """As the container says, which Pillow gives as EXIF, and as the file's own EXIF and XMP say, which some honour."""
    by_container = Image.Exif()
    by_container.load(picture.info.get("exif", b""))
    by_tags = [each for each in honoured_by_some(*metadata_of(body)) if each != AS_IT_STANDS]
    return tuple(sorted({by_container.get(ExifTags.Base.Orientation, AS_IT_STANDS), *by_tags}))


def _require_whole(body: bytes, media_type: str) -> None:
    """Ask that a file ends no earlier than it says: its decoder does not always tell, or not from other damage.

    Raises:
        TruncatedError: it does.
    """
    match media_type:
        case "image/webp":
            is_whole = is_whole_webp(body)
        case "image/tiff":
            is_whole = is_whole_tiff(body)
        case _:
            is_whole = not is_cut(body)
    if not is_whole:
        raise TruncatedError(f"the end of this {media_type} is missing")


def _require_plain_tiff(picture: Image.Image, limits: MediaLimits) -> None:
    """Walk the pages, as many as we would look at: to count them otherwise, Pillow would read any number."""
    page = 0
    with contextlib.suppress(EOFError):
        while page <= limits.max_frames:
            picture.seek(page)
            tags = getattr(picture, "tag_v2", {})
            if _TIFF_SUB_IFDS in tags or _TIFF_DNG_VERSION in tags:
                # The pages of a raw photograph are its thumbnails; the picture itself lies in a sub-directory.
                raise unsupported("image/tiff with pictures inside its pages")
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
    """Opens a picture anew at each call, decoded at a reduced scale already where the format can.

    ``full_size_px`` is the size that the header gave the last one, which a reduced scale hides.
    """

    def __init__(self, open_anew: Open, shorter_side_px: int) -> None:
        self._open_anew = open_anew
        self._shorter_side_px = shorter_side_px
        self.full_size_px = (0, 0)

    def __call__(self) -> Image.Image:
        """Raises what :func:`open_picture` does."""
        picture = self._open_anew()
        self.full_size_px = picture.size
        if not shrink_on_load(picture, self._shorter_side_px):
            return picture
        try:
            picture.load()
        except DECODER_ERRORS:
            # Some whole JPEGs decode at full size only. Whether this is one, or is broken, the full decode will tell.
            return self._open_anew()
        return picture


def require_few_pixels(picture: Image.Image, limits: MediaLimits) -> None:
    """Asked of every frame before its pixels are allocated: a later frame may be larger than the first.

    Raises:
        UndecodableError: the frame that ``picture`` stands at has no pixel.
        TooLargeError: it has more pixels than ``limits`` allow.
    """
    require_few(*picture.size, limits)


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
