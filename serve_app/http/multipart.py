"""The parts of a multipart body, read as its bytes arrive and never written to disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve_app.domain import MalformedRequestError

_FILE_PART = b"file"

# A form has a few fields beside its file, and a part of no bytes costs as much time as thousands of bytes.
_MOST_PARTS = 10


@dataclass(frozen=True, slots=True)
class PartHead:
    """The head of one part. ``media_type`` is what it says of its content, in lower case; empty if it says nothing."""

    name: bytes
    is_file: bool
    media_type: str


class PartReader:
    """Tells of each part of a body, and passes on its content, in the order in which they arrive.

    The parser bounds the number and the length of a part's headers, and of the boundary.
    """

    def __init__(
        self, content_type: str, on_part: Callable[[PartHead], None], on_content: Callable[[bytes], None]
    ) -> None:
        """Begin a body.

        Args:
            content_type: the header ``Content-Type`` of the request.
            on_part: called at the end of each part's head.
            on_content: called with each piece of the content of the latest part.

        Raises:
            MalformedRequestError: the header names no boundary.
        """
        _, options = parse_options_header(content_type)
        self._on_part = on_part
        self._on_content = on_content
        self._header_name = self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_header_name,
                    "on_header_value": self._take_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take_content,
                    "on_end": self._end,
                },
            )
        except (KeyError, FormParserError) as error:
            raise MalformedRequestError("unreadable multipart body: its header names no boundary") from error

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            MalformedRequestError: the bytes are unreadable.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequestError("unreadable multipart body") from error

    def finish(self) -> None:
        """End the body.

        Raises:
            MalformedRequestError: the body is incomplete.
        """
        if not self._is_complete:
            raise MalformedRequestError("the multipart body is incomplete")

    def _begin_part(self) -> None:
        self._headers = {}

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, disposition = parse_options_header(self._headers.get(b"content-disposition", b""))
        media_type, _ = parse_options_header(self._headers.get(b"content-type", b""))
        head = PartHead(disposition.get(b"name", b""), b"filename" in disposition, media_type.decode("latin-1").strip())
        self._on_part(head)

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        self._on_content(data[start:end])

    def _end(self) -> None:
        self._is_complete = True


class FilePartReader:
    """Passes on the content of the one part with the name ``file`` and a file name; other parts are skipped."""

    def __init__(self, content_type: str, on_content: Callable[[bytes], None]) -> None:
        """See :class:`PartReader`."""
        self._reader = PartReader(content_type, self._begin, self._take)
        self._on_content = on_content
        self._is_file = False
        self._files = self._parts = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            MalformedRequestError: the bytes are unreadable, or begin a second file or one part too many.
        """
        self._reader.write(chunk)

    def finish(self) -> None:
        """End the body.

        Raises:
            MalformedRequestError: the body is incomplete, or has no file.
        """
        self._reader.finish()
        if not self._files:
            raise MalformedRequestError("the multipart body has no part named 'file'")

    def _begin(self, head: PartHead) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise MalformedRequestError(f"the multipart body has more than {_MOST_PARTS} parts")
        self._is_file = head.name == _FILE_PART and head.is_file
        self._files += self._is_file
        if self._files > 1:
            raise MalformedRequestError("the multipart body has two parts named 'file'")

    def _take(self, content: bytes) -> None:
        if self._is_file:
            self._on_content(content)
