"""What a decoder may raise on bad bytes, and what becomes of it."""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterator

from PIL import Image

from serve_app.domain import TooLargeError, UndecodableError
from serve_app.media.parsers import MalformedError

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
    except MalformedError as error:
        raise UndecodableError(f"not a readable {media_type}: {error}") from error
    except DECODER_ERRORS as error:
        raise UndecodableError(f"not a readable {media_type}") from error  # whose text may quote the file
