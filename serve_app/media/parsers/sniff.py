"""What the bytes say they are. The declared Content-Type is never asked: the sender chooses it.

The first bytes decide, and only the decoder of that one type may look at the rest. A file that is two types at once is
therefore always judged as the type that a viewer, which also begins at the first byte, would show.
"""

from __future__ import annotations

from serve_app.domain import UnsupportedError

# The longest head that is read: an ISO file's whole list of compatible brands, of which real files have under twenty.
_HEAD_BYTES = 512

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),  # BigTIFF
    (b"MM\x00+", "image/tiff"),
)

# Named so that the answer can say what was found, not only that it was not understood.
_KNOWN_BUT_NOT_READ = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (b"OggS", "application/ogg"),
)

# In any case, and after a byte order mark and blanks.
_KNOWN_TEXT = (
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "text/xml"),
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
)

# Brands of ISO media files (ISO/IEC 14496-12, registered at mp4ra.org).
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_CODEC_BLIND_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf", b"heif"})
_MP4_BRANDS = frozenset(
    {b"isom", b"mp41", b"mp42", b"avc1", b"av01", b"dash", b"M4V ", b"M4VH", b"M4VP", b"mmp4", b"MSNV", b"f4v "}
    | {b"iso%d" % edition for edition in range(2, 10)}
)
_OTHER_ISO_MAJORS = {
    b"qt  ": "video/quicktime",  # a cousin of MP4 with codecs of its own; pict-rs stores it only as MP4
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"crx ": "image/x-canon-cr3",
}

_DIB_HEADER_BYTES = frozenset({12, 42, 46, 108, 124, *range(16, 65, 4)})
"""Sizes of the second header of a BMP; OS/2's may end early. ``BM`` alone is also how many a text begins."""

_EBML = b"\x1aE\xdf\xa3"
_EBML_DOCTYPE = b"\x42\x82"

_READ_IN_WORDS = "AVIF, BMP, GIF, HEIC, JPEG, JPEG XL, PNG, TIFF, WebP, MP4, WebM"


def sniff(body: bytes) -> str:
    """The media type of ``body`` by its first bytes, for instance ``image/jpeg`` or ``video/mp4``.

    Raises:
        UnsupportedError: the bytes are of no type that we read; the message names what was found.
    """
    head = body[:_HEAD_BYTES]
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _DIB_HEADER_BYTES:
        return "image/bmp"
    if head[4:8] == b"ftyp":
        return _sniff_iso(head)
    if head.startswith(_EBML):
        return _sniff_ebml(head)
    raise unsupported(_name_of_unread(head))


def unsupported(found: str) -> UnsupportedError:
    """The error for media of the type, or with the feature, that ``found`` names."""
    return UnsupportedError(f"unsupported type {found}; supported: {_READ_IN_WORDS}")


def _sniff_iso(head: bytes) -> str:
    """The major brand decides; where it names only a container, the compatible brands do."""
    major = head[8:12]
    ends_at = min(len(head), int.from_bytes(head[:4], "big"))
    # After the major brand and its version stand the compatible brands, four bytes each.
    compatible = {head[at : at + 4] for at in range(16, ends_at - 3, 4)}
    if major in _OTHER_ISO_MAJORS:
        raise unsupported(_OTHER_ISO_MAJORS[major])
    if major.startswith(b"3g"):
        raise unsupported("video/3gpp")
    for brands in ({major}, compatible):
        if brands & _AVIF_BRANDS:
            return "image/avif"
        if brands & _HEIC_BRANDS:
            return "image/heic"
        if brands & _MP4_BRANDS:
            return "video/mp4"
    if major in _CODEC_BLIND_BRANDS:
        return "image/heif"
    raise unsupported("(ISO media of unknown brand)")


def _sniff_ebml(head: bytes) -> str:
    """WebM is the Matroska file whose DocType says so (RFC 8794, 11.2.3); without a DocType it is Matroska."""
    at = head.find(_EBML_DOCTYPE)
    if at >= 0:
        length = head[at + 2 : at + 3]
        start = at + 3
        # One byte of length with its marker bit set: a longer DocType than 126 letters is nobody's.
        name = head[start : start + (length[0] & 0x7F)] if length else b""
        if name.rstrip(b"\x00") == b"webm":
            return "video/webm"
    raise unsupported("video/x-matroska")


def _name_of_unread(head: bytes) -> str:
    for signature, media_type in _KNOWN_BUT_NOT_READ:
        if head.startswith(signature):
            return media_type
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for opening, media_type in _KNOWN_TEXT:
        if text.startswith(opening):
            return media_type
    return "(unknown)"
