"""Rejected pictures of pict-rs, reported in Lemmy's own queue: they stay, and moderators decide."""

from __future__ import annotations

from serve_app.domain import LemmyUnavailableError
from serve_app.lemmy import Reporter
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.source import StoredFile


class LemmyReports:
    """:class:`~serve_app.storage.scan.disposal.Disposal` that reports each post and comment that shows the picture."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def is_final(self, file: StoredFile) -> bool:
        """See the port: posts come after their pictures, and the reporter knows which ones were reported."""
        del file
        return False

    def may_remove(self, file: StoredFile) -> bool:
        """See the port."""
        del file
        return False

    async def dispose(self, file: StoredFile, sha256: str, why: str) -> tuple[FileOutcome, str]:
        """See the port. Where Lemmy does not answer, the next run reports it.

        Raises:
            LemmyRefusedError: Lemmy or the settings have to be changed first.
        """
        reason = f"Pictwarden: {why} of this instance rejects the picture"
        try:
            # By the bytes, and not by the decision: another scan of them is no reason for another report.
            reported = await self._reporter.report(file.aliases, sha256, reason)
        except LemmyUnavailableError as error:
            return FileOutcome.LATER, str(error)
        return FileOutcome.REJECTED, f"{reported.summary}."
