"""Every error that this project raises on purpose, as one tree.

::

    PictwardenError
    |-- UnscannedError                 the picture was not scanned; ``.reason`` says why. Never a verdict.
    |   |-- UnscannableError           these bytes can never be scanned: refused, whatever `on_unscanned` is
    |   |   |-- UndecodableError
    |   |   |-- TruncatedError
    |   |   |-- UnsupportedError
    |   |   `-- TooLargeError
    |   `-- NotScannedError            not now: `on_unscanned` decides, and the same bytes may be sent again
    |       |-- DeadlineExceededError
    |       |   `-- StalledError       refused even where `on_unscanned` is `accept`
    |       |-- OverloadedError
    |       |   `-- FullError          the service has no room; no work was spent on the picture
    |       |       `-- SourceFullError  one of several sources has no room now, whatever the others have
    |       `-- UnavailableError
    |           |-- DeviceMemoryError
    |           |-- NoWorkerError      the service runs as it should, and no worker takes pictures
    |           `-- OtherVersionError  another replica may be of the caller's version
    |-- RequestError                   the request itself is wrong; there is no picture to scan
    |   |-- EmptyBodyError
    |   |-- MalformedRequestError
    |   `-- UnauthorisedError
    |-- ListingError                   no entry of a list can be made, or changed, as it was asked for
    |-- PictrsError                    pict-rs did not do what it was asked
    |   |-- PictrsUnavailableError     not now: the same call may be made again
    |   |   |-- PictureSpoiltError     of this picture it sends other bytes than it should
    |   |   `-- PlaceLostError         a walk over its pictures has to begin again
    |   |-- PictrsRefusedError         not as it is set up: the message says what to change
    |   `-- PictureGoneError           it does not have this picture, or not any more
    |-- LemmyError                     Lemmy did not do what it was asked
    |   |-- LemmyUnavailableError      not now: the same call may be made again
    |   `-- LemmyRefusedError          not as it is set up: the message says what to change
    |-- StorageError                   a scanned store did not do what it was asked
    |   |-- StorageUnavailableError    not now: the same call may be made again
    |   |-- StorageRefusedError        not as it is set up: the message says what to change
    |   |-- FileGoneError              it is not there any more
    |   |-- FileChangedError           other bytes lie there now
    |   `-- FileUnreadableError        this one cannot be read; others may be
    `-- ConfigurationError             the service refuses to start
        |-- SettingsError
        |-- PolicyError
        `-- ModelError

Each error takes one argument, its message, so that it survives pickling between processes.
"""

from __future__ import annotations

from typing import ClassVar

from serve_app.domain.verdicts import UnscannedReason


class PictwardenError(Exception):
    """Base of every error that this project raises on purpose."""


class UnscannedError(PictwardenError):
    """The picture was not scanned. :mod:`serve_app.moderation` catches this error and makes a decision of it."""

    reason: ClassVar[UnscannedReason]


class UnscannableError(UnscannedError):
    """These bytes can never be scanned; sending them again cannot help."""


class UndecodableError(UnscannableError):
    """The bytes claim to be a picture and cannot be decoded from end to end."""

    reason = UnscannedReason.UNDECODABLE


class TruncatedError(UnscannableError):
    """The end of the file is missing. These bytes are always refused; the whole file is another body."""

    reason = UnscannedReason.TRUNCATED


class UnsupportedError(UnscannableError):
    """The bytes are not of a supported type."""

    reason = UnscannedReason.UNSUPPORTED


class TooLargeError(UnscannableError):
    """More bytes, pixels or frames than the limits allow."""

    reason = UnscannedReason.TOO_LARGE


class NotScannedError(UnscannedError):
    """The picture could be scanned, and was not in time; the same bytes may be sent again."""


class DeadlineExceededError(NotScannedError):
    """A stage could not finish within the request's remaining time."""

    reason = UnscannedReason.DEADLINE


class StalledError(DeadlineExceededError):
    """These bytes have twice made a decoder wait without computing: they are never let through unscanned."""


class OverloadedError(NotScannedError):
    """The picture is refused at once, because the queue is longer than the request's remaining time."""

    reason = UnscannedReason.OVERLOADED


class FullError(OverloadedError):
    """The service holds as many pictures as it can answer in time; no work was spent on this one."""


class SourceFullError(FullError):
    """One of several sources sends more than its quota, or than its share of a full service: others may have room."""


class UnavailableError(NotScannedError):
    """A stage does not work: it died, it is starting, or it failed through a fault of ours."""

    reason = UnscannedReason.UNAVAILABLE


class DeviceMemoryError(UnavailableError):
    """A pass does not fit into the device's memory; one with fewer views may."""


class NoWorkerError(UnavailableError):
    """The models are on other machines, and none of these takes pictures now."""


class OtherVersionError(UnavailableError):
    """The scorer that was asked scores for another version of the service, and does not know these labels."""


class RequestError(PictwardenError):
    """The request itself is wrong, so that there is no picture to scan."""


class EmptyBodyError(RequestError):
    """The request has no body."""


class MalformedRequestError(RequestError):
    """The request cannot be understood, for instance a multipart body without a ``file`` part."""


class UnauthorisedError(RequestError):
    """No secret, or a wrong one."""


class ListingError(PictwardenError):
    """An entry cannot be made of this picture, or would change nothing. The message says why, and what to do."""


class PictrsError(PictwardenError):
    """pict-rs did not do what it was asked. The message says why, and what to do."""


class PictrsUnavailableError(PictrsError):
    """pict-rs did not answer, or failed through a fault of its own; the same call may be made again."""


class PictureSpoiltError(PictrsUnavailableError):
    """pict-rs sends other bytes than it has stored of this picture; other pictures may be right."""


class PlaceLostError(PictrsUnavailableError):
    """So much was purged in pict-rs while its pictures were listed that the place is lost: begin again."""


class PictrsRefusedError(PictrsError):
    """pict-rs, or this service, is set up so that the call can never succeed."""


class PictureGoneError(PictrsError):
    """pict-rs does not have this picture, or has purged it."""


class StorageError(PictwardenError):
    """A store did not do what it was asked. The message says why, and what to do."""


class StorageUnavailableError(StorageError):
    """The store did not answer, or failed through a fault of its own; the same call may be made again."""


class StorageRefusedError(StorageError):
    """The store, or this service, is set up so that the call can never succeed."""


class FileGoneError(StorageError):
    """The file is not there any more."""


class FileChangedError(StorageError):
    """Other bytes lie there now."""


class FileUnreadableError(StorageError):
    """This file cannot be read; others may be."""


class LemmyError(PictwardenError):
    """Lemmy did not do what it was asked. The message says why, and what to do; it names no person."""


class LemmyUnavailableError(LemmyError):
    """Lemmy did not answer, failed, or was asked too often; the same call may be made again."""


class LemmyRefusedError(LemmyError):
    """Lemmy, or this service, is set up so that the call can never succeed."""


class ConfigurationError(PictwardenError):
    """The service cannot run as configured. The message says what is wrong, and what to do."""


class SettingsError(ConfigurationError):
    """The settings of the application are wrong."""


class PolicyError(ConfigurationError):
    """The policy file is wrong, or belongs to another model."""


class ModelError(ConfigurationError):
    """The model cannot be found, downloaded or loaded."""
