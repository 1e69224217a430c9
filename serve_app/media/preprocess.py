"""The room's one door: a body to what the model is shown of it. Decoders are loaded with the first picture."""

from __future__ import annotations

from dataclasses import replace

from serve_app.domain import Deadline, OnTruncated, TruncatedError, UndecodableError, Views
from serve_app.domain.limits import MediaLimits
from serve_app.media.faces import Detector
from serve_app.media.parsers.sniff import sniff


def preprocess(
    body: bytes,
    view_size_px: int,
    limits: MediaLimits,
    deadline: Deadline,
    on_truncated: OnTruncated = OnTruncated.REFUSE,
    detector: Detector | None = None,
) -> Views:
    """Sniff, decode under ``limits``, sample frames, cut views of ``view_size_px`` and take fingerprints.

    Faces are cut too if there is a ``detector`` that finds them.

    Raises:
        UnsupportedError: of no type that we read.
        TruncatedError: the end is missing; if such a file is to be scanned, so much of it that nothing can be shown.
        UndecodableError: cannot be read, for any other reason.
        TooLargeError: beyond ``limits``.
        DeadlineExceededError: no time is left; asked before the decoding and between frames.
    """
    from serve_app.media.reader import Reader  # FFmpeg and the others take 20 MB, and few processes decode

    reader = Reader(body, sniff(body), view_size_px, limits, deadline, detector)
    try:
        return reader.views(is_lenient=False)
    except TruncatedError:
        if on_truncated is OnTruncated.REFUSE:
            raise
    try:
        return replace(reader.views(is_lenient=True), is_truncated=True)
    except UndecodableError as error:
        raise TruncatedError("so much is missing that nothing can be shown") from error
