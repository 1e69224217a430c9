"""What every command says to the shell at its end."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The same of each command, whose help says what its own 1 means."""

    DONE = 0
    NOT_AS_WANTED = 1
    """It was done, and what came out is not what one hopes for: a picture is rejected, an agreement is too low."""
    ERRORS = 2
    """It could not be done, or not all of it."""
    INTERRUPTED = 130
