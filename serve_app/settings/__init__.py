"""The ``args`` of ``serve_config.yaml``: parsed once, frozen, unknown keys refused, and one type for each thing.

What each key means to an operator stands beside it in ``serve_config.yaml``, which ``test_settings.py`` asserts.
Secrets are not settings: they come from the environment variable that a setting names, or from its file
(:mod:`serve_app.host.secret_files`). Keys of earlier versions are in :mod:`serve_app.settings.changes`, the variables
of pictrs-safety in :mod:`serve_app.settings.pictrs_safety`.
"""

from serve_app.domain.limits import MAX_DEADLINE_S
from serve_app.settings.parsing import parse_settings, wrong_keys
from serve_app.settings.schema import (
    AuthenticationSettings,
    EngineName,
    FallbackKind,
    LemmySettings,
    LogSettings,
    MetricsSettings,
    ModelSettings,
    NoticeSettings,
    PictrsSettings,
    RemoteSettings,
    Settings,
    SourceSettings,
)

__all__ = [
    "MAX_DEADLINE_S",
    "AuthenticationSettings",
    "EngineName",
    "FallbackKind",
    "LemmySettings",
    "LogSettings",
    "MetricsSettings",
    "ModelSettings",
    "NoticeSettings",
    "PictrsSettings",
    "RemoteSettings",
    "Settings",
    "SourceSettings",
    "parse_settings",
    "wrong_keys",
]
