"""The words of Pictwarden as types, in the order in which data flows (``docs/concepts.md`` explains them).

    media -> frames -> views -> label scores -> rule -> verdict -> decision -> ledger

This package imports nothing of the rest of the application; everything else imports it.
"""

from serve_app.domain.call import (
    UNNAMED_SOURCE,
    Call,
    Clock,
    Deadline,
    Lane,
    LoadSignals,
)
from serve_app.domain.decision import (
    Decision,
    Judged,
    Judgement,
    Listed,
    Outcome,
    Unscanned,
)
from serve_app.domain.errors import (
    ConfigurationError,
    DeadlineExceededError,
    DeviceMemoryError,
    EmptyBodyError,
    FullError,
    MalformedRequestError,
    ModelError,
    NotScannedError,
    OverloadedError,
    PictwardenError,
    PolicyError,
    RequestError,
    SettingsError,
    StalledError,
    TooLargeError,
    TruncatedError,
    UnauthorisedError,
    UnavailableError,
    UndecodableError,
    UnscannableError,
    UnscannedError,
    UnsupportedError,
)
from serve_app.domain.examination import (
    Examination,
    LabelScores,
    ModelIdentity,
)
from serve_app.domain.fingerprints import (
    DIHEDRAL_HASHES,
    PDQ_BYTES,
    FrameFingerprint,
)
from serve_app.domain.media import (
    Body,
    ViewPlace,
    Views,
)
from serve_app.domain.ports import (
    Examiner,
    Ledger,
    Preprocessor,
    Scorer,
    Sink,
)
from serve_app.domain.verdicts import (
    OnTruncated,
    OnUnscanned,
    UnscannedReason,
    Verdict,
)

__all__ = [
    "DIHEDRAL_HASHES",
    "PDQ_BYTES",
    "UNNAMED_SOURCE",
    "Body",
    "Call",
    "Clock",
    "ConfigurationError",
    "Deadline",
    "DeadlineExceededError",
    "Decision",
    "DeviceMemoryError",
    "EmptyBodyError",
    "Examination",
    "Examiner",
    "FrameFingerprint",
    "FullError",
    "Judged",
    "Judgement",
    "LabelScores",
    "Lane",
    "Ledger",
    "Listed",
    "LoadSignals",
    "MalformedRequestError",
    "ModelError",
    "ModelIdentity",
    "NotScannedError",
    "OnTruncated",
    "OnUnscanned",
    "Outcome",
    "OverloadedError",
    "PictwardenError",
    "PolicyError",
    "Preprocessor",
    "RequestError",
    "Scorer",
    "SettingsError",
    "Sink",
    "StalledError",
    "TooLargeError",
    "TruncatedError",
    "UnauthorisedError",
    "UnavailableError",
    "UndecodableError",
    "UnscannableError",
    "Unscanned",
    "UnscannedError",
    "UnscannedReason",
    "UnsupportedError",
    "Verdict",
    "ViewPlace",
    "Views",
]
