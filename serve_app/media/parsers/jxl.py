"""The codestream of a JPEG XL, taken out of its container, and the header of that.

Field names and widths are those of ISO/IEC 18181-1:2024, annex D.
"""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.domain import TruncatedError
from serve_app.media.parsers.iso_boxes import IsoBoxes
from serve_app.media.parsers.malformed import CutShortError, MalformedError

_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
_BOX_HEADER_BYTES = 8
_LAST_PART = 0x80000000
_ALPHA = 0
_HARMLESS_CHANNELS = frozenset({_ALPHA, 1, 2, 3, 6, 16})
"""Types of extra channels that are no riddle. libjxl paints spot colours (2) itself; viewers do not show depth (1),
selections (3), heat (6) and what says of itself that it may be left out (16)."""
_MAX_EXTRA_CHANNELS = 16

_SPOT_COLOUR = 2

# Width over height for the values 1..7 of the field `ratio`.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """What the first bits of a codestream say. The sides are before the orientation is applied."""

    width_px: int
    height_px: int
    animated: bool
    hidden_channels: int = 0
    """At most so many channels change the picture, and are left out by the decoder: black ink, unknown ones."""
    is_premultiplied: bool = False
    """Whether the colours are multiplied with the transparency already."""


def codestream_of(body: bytes) -> bytes:
    """The codestream, whether bare or in a container, without the boxes that could show something else.

    Raises:
        TruncatedError: a container whose codestream is not whole. Of a bare one only the decoder can tell, and does not
            say whether it was cut or damaged.
        MalformedError: neither of the two, or a damaged container.
    """
    if body.startswith(_CODESTREAM):
        return body
    if not body.startswith(_CONTAINER):
        raise MalformedError("no JPEG XL")
    parts: list[bytes] = []
    end = 0
    for box in IsoBoxes(body).top():
        end = box.end
        if end > len(body):
            break
        if box.kind == b"jxlc":
            return body[box.start : end]
        if box.kind == b"jxlp":
            parts.append(body[box.start + 4 : end])
            if int.from_bytes(body[box.start : box.start + 4], "big") & _LAST_PART:
                return b"".join(parts)
    if len(body) < end + _BOX_HEADER_BYTES:
        raise TruncatedError("the end of this image/jxl is missing")
    raise MalformedError("a box of no length")


def read_header(codestream: bytes) -> JxlHeader:
    """The fields that decide how much will be allocated, and whether there is more than one picture.

    Raises:
        MalformedError: no codestream, or one that ends inside its header.
    """
    if not codestream.startswith(_CODESTREAM):
        raise MalformedError("no JPEG XL codestream")
    bits = _Bits(codestream[len(_CODESTREAM) :])
    width_px, height_px = _read_size(bits)
    if bits.flag():  # all_default
        return JxlHeader(width_px, height_px, animated=False)
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
    if extra_channels > _MAX_EXTRA_CHANNELS:
        return JxlHeader(width_px, height_px, animated, hidden_channels=extra_channels)
    is_premultiplied = False
    for channel in range(extra_channels):
        kind, multiplies = _read_extra_channel(bits)
        if kind not in _HARMLESS_CHANNELS:
            return JxlHeader(width_px, height_px, animated, hidden_channels=extra_channels - channel)
        is_premultiplied = is_premultiplied or multiplies
    return JxlHeader(width_px, height_px, animated, is_premultiplied=is_premultiplied)


class _Bits:
    """Bits of the header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        # No header that we read is longer: sixteen extra channels, each with the longest name.
        self._data = data[: 1 << 15]
        self._number = int.from_bytes(self._data, "little")
        self._at = 0

    def take(self, count: int) -> int:
        if self._at + count > 8 * len(self._data):
            raise CutShortError("the header is cut short")
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


def _read_extra_channel(bits: _Bits) -> tuple[int, bool]:
    """Its type, and whether it is transparency with which the colours are multiplied already.

    Of a type that is refused no more is read.
    """
    if bits.flag():  # all_default
        return _ALPHA, False
    kind = bits.choice((0, 0), (1, 0), (2, 4), (18, 6))
    if kind not in _HARMLESS_CHANNELS:
        return kind, False
    _skip_bit_depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))  # dim_shift
    bits.take(8 * bits.choice((0, 0), (0, 4), (16, 5), (48, 10)))  # name
    if kind == _SPOT_COLOUR:
        bits.take(4 * 16)  # red, green, blue, solidity
    return kind, kind == _ALPHA and bits.flag()  # alpha_associated
