"""What the bytes say they are. The declared Content-Type is never asked: the sender chooses it."""

from __future__ import annotations

from serve_app.domain import UnsupportedError

# The whole length of the longest signature below, with an ISO file's list of compatible brands.
_HEAD_BYTES = 64

_READ = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)

_MP4_BRANDS = {
    b"avc1",
    b"dash",
    b"M4V ",
    b"M4VP",
    b"MSNV",
    b"mp41",
    b"mp42",
    *(b"iso%c" % end for end in b"m123456789"),
}

# Named so that the answer can say what was found, not only that it was not understood.
_KNOWN_BUT_NOT_READ = (
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)

# In any case, and after a byte order mark and blanks.
_KNOWN_TEXT = (
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "text/xml"),
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
)


def sniff(body: bytes) -> str:
    """The media type of ``body`` by its first bytes, for instance ``image/jpeg``.

    Raises:
        UnsupportedError: the bytes are of no type that we read; the message names what was found.
    """
    head = body[:_HEAD_BYTES]
    for signature, media_type in _READ:
        if head.startswith(signature):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    found = "unknown bytes"
    if head[4:8] == b"ftyp":
        # ISO/IEC 14496-12: the major brand, a version, then the compatible brands, four bytes each.
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), _box_bytes(head)), 4))}
        if brands & {b"avif", b"avis"}:
            return "image/avif"
        if brands & _MP4_BRANDS and not brands & {b"heic", b"heix", b"mif1", b"heif"}:
            return "video/mp4"
        found = "image/heic" if brands & {b"heic", b"heix", b"mif1", b"heif"} else "video/mp4"
    for signature, media_type in _KNOWN_BUT_NOT_READ:
        if head.startswith(signature):
            found = media_type
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for opening, media_type in _KNOWN_TEXT:
        if text.startswith(opening):
            found = media_type
    raise UnsupportedError(f"found {found}, and only JPEG, PNG, GIF, WebP, AVIF, MP4 and WebM are read")


def _box_bytes(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")
