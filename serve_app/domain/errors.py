"""What can go wrong, as one tree.

::

    PictwardenError
    |-- UnscannedError                 we could not look; ``.reason`` says why. Never a verdict.
    |   |-- UnscannableError           these bytes can never be scanned: refused, whatever `on_unscanned` says
    |   |   |-- UndecodableError
    |   |   |-- TruncatedError
    |   |   |-- UnsupportedError
    |   |   `-- TooLargeError
    |   `-- NotScannedError            not now; `on_unscanned` decides, and the same bytes may be sent again
    |       |-- DeadlineExceededError
    |       |   `-- StalledError       refused also where `on_unscanned` is `accept`
    |       |-- OverloadedError
    |       |   `-- FullError        the service has no room; asked before any work is spent
    |       `-- UnavailableError
    |           `-- DeviceMemoryError
    |-- RequestError                   the request itself is wrong; there was no picture to look at
    |   |-- EmptyBodyError
    |   |-- MalformedRequestError
    |   `-- UnauthorisedError
    `-- ConfigurationError             found at start; the service refuses to run
        |-- SettingsError
        |-- PolicyError
        `-- ModelError

Each takes one argument, its message, so that each survives pickling between two processes.
"""

from __future__ import annotations

from typing import ClassVar

from serve_app.domain.verdicts import UnscannedReason


class PictwardenError(Exception):
    """Base of every error that this project raises on purpose."""


class UnscannedError(PictwardenError):
    """We could not look at the picture. Caught by :mod:`serve_app.moderation`, which makes a decision of it."""

    reason: ClassVar[UnscannedReason]


class UnscannableError(UnscannedError):
    """These bytes can never be scanned; sending them again cannot help."""


class UndecodableError(UnscannableError):
    """The bytes say that they are a picture, and cannot be read as one from end to end."""

    reason = UnscannedReason.UNDECODABLE


class TruncatedError(UnscannableError):
    """The end of the file is missing. These bytes are refused for ever; the whole file is another body."""

    reason = UnscannedReason.TRUNCATED


class UnsupportedError(UnscannableError):
    """The bytes are of no type that we read."""

    reason = UnscannedReason.UNSUPPORTED


class TooLargeError(UnscannableError):
    """More bytes, pixels or frames than the limits allow."""

    reason = UnscannedReason.TOO_LARGE


class NotScannedError(UnscannedError):
    """We could have looked, and did not in time; the same bytes may be sent again."""


class DeadlineExceededError(NotScannedError):
    """A stage could not finish in what was left of the request's time."""

    reason = UnscannedReason.DEADLINE


class StalledError(DeadlineExceededError):
    """These bytes have twice kept their decoder waiting without computing: never let through unscanned."""


class OverloadedError(NotScannedError):
    """Refused at once, because the queue is longer than what is left of the request's time."""

    reason = UnscannedReason.OVERLOADED


class FullError(OverloadedError):
    """The service has as many pictures inside as it can answer in time; nothing was spent on this one."""


class UnavailableError(NotScannedError):
    """A stage is not there: it died, it is starting, or it failed in a way that is our fault."""

    reason = UnscannedReason.UNAVAILABLE


class DeviceMemoryError(UnavailableError):
    """A pass does not fit into the device's memory; one with fewer views may."""


class RequestError(PictwardenError):
    """The request is wrong before there is any picture to look at."""


class EmptyBodyError(RequestError):
    """The request has no body."""


class MalformedRequestError(RequestError):
    """The request cannot be understood, for instance a multipart body without a ``file`` part."""


class UnauthorisedError(RequestError):
    """No secret, or a wrong one."""


class ConfigurationError(PictwardenError):
    """The service cannot run as it is configured. The message says what is wrong and the way out."""


class SettingsError(ConfigurationError):
    """The arguments of the application are wrong."""


class PolicyError(ConfigurationError):
    """The policy file is wrong, or belongs to another model."""


class ModelError(ConfigurationError):
    """The model cannot be found, downloaded or loaded."""
