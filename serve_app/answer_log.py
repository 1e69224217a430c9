"""Logging on the way of an answer: a line that cannot be written is lost, and the answer is not."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

# The override below; frames of the logging package itself are skipped anyway.
_OWN_FRAMES = 1


class AnswerLogger(_Adapter):
    """A logger whose handlers may raise, as on a full disk, without an error for the code that logs."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), None)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As :meth:`logging.Logger.log`, which all other methods call."""
        # The line names the caller, not this method.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + _OWN_FRAMES
        with contextlib.suppress(Exception):
            super().log(level, msg, *args, **kwargs)
