"""A type is told by the bytes alone, and what is refused is named."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import UnsupportedError
from serve_app.media.sniff import sniff

quick = settings(max_examples=60, deadline=None, derandomize=True)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    """The first box of an ISO media file: length, name, major brand, version, compatible brands."""
    brands = major + bytes(4) + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands


@pytest.mark.parametrize(
    ("pillow_format", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("AVIF", "image/avif"),
    ],
)
def test_what_an_encoder_writes_is_known(pillow_format: str, media_type: str) -> None:
    written = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(written, pillow_format)
    assert sniff(written.getvalue()) == media_type


@pytest.mark.parametrize("head", [b"GIF87a", b"GIF89a"])
def test_both_versions_of_gif_are_known(head: bytes) -> None:
    assert sniff(head + bytes(10)) == "image/gif"


@pytest.mark.parametrize(
    "head",
    [ftyp(b"avif", b"mif1"), ftyp(b"avis", b"msf1"), ftyp(b"mif1", b"miaf", b"avif"), ftyp(b"mif1", b"heic", b"avif")],
)
def test_an_avif_may_say_so_in_any_of_its_brands(head: bytes) -> None:
    assert sniff(head + bytes(100)) == "image/avif"


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (ftyp(b"isom", b"isom", b"mp42"), "video/mp4"),
        (ftyp(b"mp42"), "video/mp4"),
        (ftyp(b"isom", b"av01", b"iso2"), "video/mp4"),
        (b"\x1aE\xdf\xa3", "video/webm"),
    ],
)
def test_videos_are_known(head: bytes, media_type: str) -> None:
    assert sniff(head + bytes(100)) == media_type


def test_what_follows_the_brands_is_not_a_brand() -> None:
    with pytest.raises(UnsupportedError, match="image/heic"):
        sniff(ftyp(b"heic", b"mif1") + b"avif" * 4)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (ftyp(b"heic", b"mif1", b"heic") + bytes(100), "image/heic"),
        (b"\xff\x0a" + bytes(40), "image/jxl"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(40), "image/jxl"),
        (b"II*\x00" + bytes(40), "image/tiff"),
        (b"MM\x00*" + bytes(40), "image/tiff"),
        (b"BM" + bytes(40), "image/bmp"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"PK\x03\x04" + bytes(40), "application/zip"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"\xef\xbb\xbf\n <svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"<?xml version='1.0'?><svg/>", "text/xml"),
        (b"<!DOCTYPE html><html></html>", "text/html"),
        (b"<!doctype html><title>404</title>", "text/html"),
        (b"\r\n<HTML><body></body></HTML>", "text/html"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "unknown bytes"),
        (b"plain text", "unknown bytes"),
        (b"\x00", "unknown bytes"),
        (b"\xff\xd8", "unknown bytes"),
        (b"RIFF", "unknown bytes"),
        (b"\x00\x00\x00\x18fty", "unknown bytes"),
        (b"", "unknown bytes"),
    ],
)
def test_other_types_are_refused_by_name(body: bytes, found: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        sniff(body)
    assert str(caught.value) == f"found {found}, and only JPEG, PNG, GIF, WebP, AVIF, MP4 and WebM are read"


@quick
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: rest[:4] + b"ftyp" + rest[4:]))
def test_any_bytes_have_a_type_or_are_refused(body: bytes) -> None:
    try:
        assert sniff(body).startswith(("image/", "video/"))
    except UnsupportedError as error:
        assert "found" in str(error)  # noqa: PT017 - either way is right; only another error would be wrong
