"""What a parser raises on bytes that are not what they say.

The messages are our own words and numbers, never a piece of the file: they go into the answer.
"""


class MalformedError(ValueError):
    """The bytes contradict themselves, or the standard."""


class CutShortError(MalformedError):
    """Something lies, in part at least, behind the end of the bytes."""
