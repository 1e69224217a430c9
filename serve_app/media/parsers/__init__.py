"""Every parser that we wrote ourselves for bytes that anybody may have made. None of them calls a decoder.

They only read what a file says of itself: sizes, places, metadata. For any bytes whatever, each of them ends soon and
raises nothing but :class:`MalformedError` and the errors of the domain; ``tests/unit/media/parsers`` tries it. Work and
memory are bounded by the length of the file: what a file states is compared with the bytes that are there.
"""

from serve_app.media.parsers.malformed import CutShortError, MalformedError

__all__ = ["CutShortError", "MalformedError"]
