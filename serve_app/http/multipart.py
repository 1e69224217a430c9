"""The ``file`` part of a multipart body, read as its bytes arrive and never written to disk."""

from __future__ import annotations

from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve_app.domain import MalformedRequestError

_FILE_PART = b"file"


class FilePartReader:
    """Passes on the content of the one part with the name ``file`` and a file name; other parts are skipped."""

    def __init__(self, content_type: str, on_content: Callable[[bytes], None]) -> None:
        """``content_type`` is the header ``Content-Type`` of the request.

        Raises:
            MalformedRequestError: the header names no boundary.
        """
        _, options = parse_options_header(content_type)
        self._on_content = on_content
        self._header_name = self._header_value = self._disposition = b""
        self._is_file = False
        self._files = 0
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
            MalformedRequestError: the bytes are unreadable, or begin a second file.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequestError("unreadable multipart body") from error

    def finish(self) -> None:
        """End the body.

        Raises:
            MalformedRequestError: the body is incomplete, or has no file.
        """
        if not self._is_complete:
            raise MalformedRequestError("the multipart body is incomplete")
        if not self._files:
            raise MalformedRequestError("the multipart body has no part named 'file'")

    def _begin_part(self) -> None:
        self._disposition = b""
        self._is_file = False

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = options.get(b"name") == _FILE_PART and b"filename" in options
        self._files += self._is_file
        if self._files > 1:
            raise MalformedRequestError("the multipart body has two parts named 'file'")

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._on_content(data[start:end])

    def _end(self) -> None:
        self._is_complete = True
