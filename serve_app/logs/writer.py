"""Log lines that never delay an answer: a thread writes them, and counts the lines that it could not write."""

from __future__ import annotations

import contextlib
import copy
import logging
import queue
import threading

from serve_app.logs.events import Event, name_request, traceback_of

# More than a replica logs in ten seconds under full load: with more waiting, the disk hangs.
_MOST_WAITING = 10_000

_FLUSH_S = 1.0


class LogWriter(logging.Handler):
    """Hands each record to ``target`` in a thread of its own, so that logging never raises, recurses or waits.

    Without it a full disk costs answers: Serve turns a replica's standard error into log lines, and Python reports a
    failed line on the standard error. After the first line that can be written again, a line tells how many were lost.

    Args:
        target: formats and writes; its ``handleError`` is replaced.
        most_waiting: the most records that wait for the thread; further ones are lost.
    """

    def __init__(self, target: logging.Handler, most_waiting: int = _MOST_WAITING) -> None:
        super().__init__()
        # Serve tells its dashboard where a replica's log is, by this attribute of the handler.
        self.baseFilename = getattr(target, "baseFilename", "")
        self._target = target
        self._most_waiting = most_waiting
        self._waiting: queue.SimpleQueue[logging.LogRecord | threading.Event | None] = queue.SimpleQueue()
        self._not_taken = 0
        self._not_written = 0
        self._said = 0
        self._has_failed = False
        target.handleError = self._note_failure  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record for the thread, or count it as lost if too many wait or it cannot be formatted."""
        if self._waiting.qsize() >= self._most_waiting:
            self._not_taken += 1
            return
        try:
            self._waiting.put(_in_words(record))
        except Exception:  # its arguments do not fit its text, or one of them cannot be shown
            self._not_taken += 1

    def flush(self) -> None:
        """Wait until the records taken so far are written, for at most a second."""
        is_reached = threading.Event()
        self._waiting.put(is_reached)
        is_reached.wait(_FLUSH_S)

    def close(self) -> None:
        """End the thread once it has written its records."""
        self._waiting.put(None)
        super().close()

    def _write_all(self) -> None:
        while (taken := self._waiting.get()) is not None:
            if isinstance(taken, threading.Event):
                taken.set()
            elif self._is_written(taken):
                self._say_how_many_were_lost(taken)
            else:
                self._not_written += 1

    def _is_written(self, record: logging.LogRecord) -> bool:
        self._has_failed = False
        try:
            self._target.handle(record)
        except Exception:  # a filter or a formatter of the target must not end the thread
            return False
        return not self._has_failed

    def _say_how_many_were_lost(self, after: logging.LogRecord) -> None:
        lost = self._not_taken + self._not_written - self._said
        if lost:
            notice = logging.makeLogRecord({**after.__dict__, "exc_info": None, "exc_text": None, "stack_info": None})
            notice.levelno, notice.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
            text = f"{lost} log lines were lost: they could not be written"
            notice.msg, notice.args = Event("lines_lost", text, {"lines": lost}), None
            if self._is_written(notice):
                self._said += lost

    def _note_failure(self, record: logging.LogRecord) -> None:
        """Called by the target, in the thread, for a record that it could not write."""
        self._has_failed = True
        if isinstance(self._target, logging.FileHandler) and self._target.stream is not None:
            # The stream still holds the line. Without it, the next line opens the file anew.
            stream, self._target.stream = self._target.stream, None
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def _in_words(record: logging.LogRecord) -> logging.LogRecord:
    """One that keeps nothing of its caller alive: a frame of a traceback may hold a body, whose memory is over."""
    if isinstance(record.msg, Event) and not record.exc_info:
        return record  # a decision's, for which a copy would cost more than all the rest here
    told = copy.copy(record)
    name_request(told)  # in its thread and task
    if told.args:
        told.msg, told.args = told.getMessage(), None
    told.exc_text, told.exc_info = traceback_of(told), None
    return told
