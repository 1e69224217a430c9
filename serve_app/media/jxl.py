"""JPEG XL: the header read by us, the pixels by libjxl (through pillow-jxl-plugin's decoder).

The plugin itself decodes all pixels while it opens a file, before anyone could ask how many there are; shows one frame
of an animation and says nothing of the others; and opens a JPEG that a file carries for its reconstruction, which need
not be the picture that the file shows. So only its decoder is used, on the bare codestream, after the header was read.
Field names and widths are those of ISO/IEC 18181-1:2024, annex D.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
_LAST_PART = 0x80000000
_ALPHA = 0

# Width over height for the values 1..7 of the field `ratio`.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """What the first bits of a codestream say. The sides are before the orientation is applied."""

    width_px: int
    height_px: int
    animated: bool
    extra_channels: int
    """Channels besides the colours."""
    only_alpha: bool
    """Whether there is no extra channel, or one and that is transparency."""


def codestream_of(body: bytes) -> bytes:
    """The codestream, whether bare or in a container, without the boxes that could show something else.

    Raises:
        ValueError: neither, or a container whose codestream is not whole.
    """
    if body.startswith(_CODESTREAM):
        return body
    if not body.startswith(_CONTAINER):
        raise ValueError("no JPEG XL")
    parts: list[bytes] = []
    for kind, content in _boxes(body):
        if kind == b"jxlc":
            return content
        if kind == b"jxlp":
            parts.append(content[4:])
            if int.from_bytes(content[:4], "big") & _LAST_PART:
                return b"".join(parts)
    raise ValueError("the codestream ends before its last part")


def read_header(codestream: bytes) -> JxlHeader:
    """The fields that decide how much will be allocated, and whether there is more than one picture.

    Raises:
        ValueError: no codestream, or one that ends inside its header.
    """
    if not codestream.startswith(_CODESTREAM):
        raise ValueError("no JPEG XL codestream")
    bits = _Bits(codestream[len(_CODESTREAM) :])
    width_px, height_px = _read_size(bits)
    if bits.flag():  # all_default
        return JxlHeader(width_px, height_px, animated=False, extra_channels=0, only_alpha=True)
    animated = False
    if bits.flag():  # extra_fields
        bits.take(3)  # orientation
        if bits.flag():
            _read_size(bits)  # intrinsic_size
        if bits.flag():
            _skip_preview(bits)
        animated = bits.flag()
        if animated:
            _skip_animation(bits)
    _skip_bit_depth(bits)
    bits.flag()  # modular_16bit_buffers
    extra_channels = bits.choice((0, 0), (1, 0), (2, 4), (1, 12))
    only_alpha = extra_channels == 0 or (extra_channels == 1 and _read_extra_channel_type(bits) == _ALPHA)
    return JxlHeader(width_px, height_px, animated, extra_channels, only_alpha)


def decode_codestream(codestream: bytes) -> Image.Image:
    """The pixels, upright: libjxl applies the orientation.

    Raises:
        RuntimeError, ValueError: not a whole codestream, or pixels of a kind that Pillow has no mode for.
    """
    from pillow_jxl import Decoder  # optional, and missed at start: see decoders.py

    try:
        _, found, pixels, icc_profile, _ = Decoder(num_threads=0)(codestream)
    except Exception:
        raise
    except BaseException as error:
        # What panics in Rust arrives here as an exception that is no Exception, to end the process. It is one file's.
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError("the decoder gave up") from None
    mode = "F" if found.mode == "F;16" else found.mode
    picture = Image.frombytes(mode, (found.width, found.height), pixels)
    if icc_profile:
        picture.info["icc_profile"] = bytes(icc_profile)
    return picture


def _boxes(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box of an ISO file; a box that ends beyond the file is an error.

    Raises:
        ValueError: a box is cut short, or says that it is shorter than its own header.
    """
    at = 0
    while at < len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        kind = body[at + 4 : at + 8]
        header = 8
        if length == 1:
            length = int.from_bytes(body[at + 8 : at + 16], "big")
            header = 16
        elif length == 0:
            length = len(body) - at
        if length < header or at + length > len(body):
            raise ValueError("a box is cut short")
        yield kind, body[at + header : at + length]
        at += length


class _Bits:
    """Bits of the header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        # No header that we read is longer: the longest is 2 + 5 * 32 bits, an extra channel's name left aside.
        self._data = data[:64]
        self._number = int.from_bytes(self._data, "little")
        self._at = 0

    def take(self, count: int) -> int:
        if self._at + count > 8 * len(self._data):
            raise ValueError("the header is cut short")
        value = (self._number >> self._at) & ((1 << count) - 1)
        self._at += count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def choice(self, *distributions: tuple[int, int]) -> int:
        """The standard's U32: two bits choose an offset and how many bits to add to it."""
        offset, count = distributions[self.take(2)]
        return offset + self.take(count)


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Width and height (SizeHeader)."""
    small = bits.flag()

    def side_px() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.choice((1, 9), (1, 13), (1, 18), (1, 30))

    height_px = side_px()
    ratio = bits.take(3)
    if ratio == 0:
        return side_px(), height_px
    across, down = _RATIOS[ratio - 1]
    return height_px * across // down, height_px


def _skip_preview(bits: _Bits) -> None:
    in_eights = bits.flag()

    def skip_side() -> None:
        if in_eights:
            bits.choice((16, 0), (32, 0), (1, 5), (33, 9))
        else:
            bits.choice((1, 6), (65, 8), (321, 10), (1345, 12))

    skip_side()
    if bits.take(3) == 0:
        skip_side()


def _skip_animation(bits: _Bits) -> None:
    bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))  # tps_numerator
    bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))  # tps_denominator
    bits.choice((0, 0), (0, 3), (0, 16), (0, 32))  # num_loops
    bits.flag()  # have_timecodes


def _skip_bit_depth(bits: _Bits) -> None:
    if bits.flag():  # float_sample
        bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)  # exp_bits
    else:
        bits.choice((8, 0), (10, 0), (12, 0), (1, 6))


def _read_extra_channel_type(bits: _Bits) -> int:
    if bits.flag():  # all_default
        return _ALPHA
    return bits.choice((0, 0), (1, 0), (2, 4), (18, 6))
