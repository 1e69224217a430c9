"""What a decoder may raise on bad bytes."""

from __future__ import annotations

import struct

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
