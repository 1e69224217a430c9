"""Log lines: events with fields, which name their request and no secret, as text or as JSON (``docs/logging.md``).

Other rooms write them with :class:`EventLogger`. The processes that serve have them formatted
(:func:`~serve_app.logs.formats.as_format`) and written (:class:`~serve_app.logs.writer.LogWriter`).
"""

from serve_app.logs.context import current_request_id, of_request
from serve_app.logs.events import EventLogger

__all__ = ["EventLogger", "current_request_id", "of_request"]
