"""The settings: their keys, kinds and defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from serve_app.domain import (
    RESERVED_SOURCES,
    UNNAMED_SOURCE,
    HuntMode,
    Lane,
    NoticeKind,
    OnTruncated,
    OnUnscanned,
    RescanMode,
)
from serve_app.domain.limits import MAX_DEADLINE_S, Limits
from serve_app.logs.log_format import LogFormat
from serve_app.settings.ledger import ledger_setting
from serve_app.settings.networks import Network, trusted_network
from serve_app.settings.presets import DEFAULT, PRESETS, Preset

# What each is, and who opens it: serve_app/models/registry.py.
EngineName = Literal["auto", "torch", "openvino", "openvino-int8"]

# What scores while no worker is there: serve_app/composition/fallback.py.
FallbackKind = Literal["none", "cpu", "classifier"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Section):
    """Which model scans, and on what."""

    max_queued_views: ClassVar[int] = 1024
    """No setting: the most views that wait in a scorer, which bounds its memory. Pictures are refused long before, by
    the wait that is predicted for them."""

    source: str | None = None
    """None: the model that the policy names."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    engine: EngineName = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    cpu_threads: Annotated[int, Field(ge=1)] | None = None
    max_batch_views: Annotated[int, Field(ge=1, le=128)] = 32
    cache_folder: Path | None = None

    @model_validator(mode="after")
    def _require_one_choice(self) -> Self:
        if self.engine.startswith("openvino") and (self.device == "cuda" or self.precision != "auto"):
            raise ValueError(
                f"engine {self.engine} computes what was converted, in bf16 or int8 on the CPU: "
                "device is auto or cpu, precision auto"
            )
        return self


class AuthenticationSettings(_Section):
    """Who may ask. Secrets themselves are in the environment."""

    secrets_env: str = "PICTWARDEN_SECRETS"
    misskey_secrets_env: str = "PICTWARDEN_MISSKEY_SECRETS"
    trusted_networks: tuple[Annotated[Network, BeforeValidator(trusted_network)], ...] = ()


def _web_address(given: str) -> str:
    parts = urlsplit(given)
    is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if not is_whole or parts.username or parts.query or parts.fragment:
        raise ValueError("an address is written as http://HOST:PORT")
    return given.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]


class PictrsSettings(_Section):
    """pict-rs, asked for pictures that it has stored. Its key is in the environment."""

    url: WebAddress | None = None
    public_endpoint: WebAddress | None = None
    source: str | None = None
    max_purges_per_day: Annotated[int, Field(ge=0)] = 100


class LemmySettings(_Section):
    """Lemmy, asked who uploaded a picture and where it is shown. Its token is in the environment."""

    url: WebAddress | None = None


class MisskeySettings(_Section):
    """The detector API of Misskey. It exists once the environment has secrets for it."""

    classifier: Literal["nsfwjs", "nsfwjs-inception"] | None = None


class AdminSettings(_Section):
    """Where the admin API listens. It exists once the environment has secrets of admins."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 14052


class MetricsSettings(_Section):
    """Where the metrics are served; nothing is counted without a port."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] | None = 14053


class RemoteSettings(_Section):
    """Where workers connect, which score on machines elsewhere, and how they are treated."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 14054
    max_workers: Annotated[int, Field(ge=1, le=1024)] = 16
    fallback: FallbackKind = "none"
    probe_every: Annotated[int, Field(ge=1)] = 200
    double_every: Annotated[int, Field(ge=1)] = 100
    sends: Literal["views", "bodies"] = "views"
    fedi_safety: bool = False

    @model_validator(mode="after")
    def _require_absence(self) -> Self:
        if self.fedi_safety and self.fallback == "cpu":
            raise ValueError(
                "fedi_safety has its workers asked where nobody else is there, and with fallback: cpu this machine "
                "always is: choose another fallback, or no fedi_safety"
            )
        return self


_SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _source_name(given: str) -> str:
    if not _SOURCE_NAME.fullmatch(given):
        raise ValueError("a name of a source has 1 to 32 characters of a-z, 0-9, _ and -, and begins with a letter")
    if given in RESERVED_SOURCES:
        raise ValueError(f"the service uses {', '.join(sorted(RESERVED_SOURCES))} itself: choose another name")
    return given


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


class NoticeSettings(_Section):
    """Which notices admins get. Where they are sent to is in the environment: those URLs have secrets in them."""

    urls_env: str = "PICTWARDEN_NOTICE_URLS"
    kinds: tuple[NoticeKind, ...] = tuple(NoticeKind)
    at_most_every_s: Annotated[float, Field(ge=60)] = 900.0
    pictures_at_least: Annotated[int, Field(ge=1)] = 1
    pending_at_least: Annotated[int, Field(ge=1)] = 100
    unreachable_after_s: Annotated[float, Field(ge=0)] = 120.0


class SourceSettings(_Section):
    """One of several instances that this service serves. What is None is as for the service."""

    secrets_env: Annotated[str, Field(min_length=1)]
    preset: str | None = None
    policy: str | None = None
    on_unscanned: OnUnscanned | None = None
    quota_per_minute: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    lists: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _require_one_choice(self) -> Self:
        if self.preset is not None and self.policy is not None:
            raise ValueError(f"{self.preset} stands for a policy: remove policy, or remove preset")
        return self

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str | None) -> str | None:
        return None if preset is None else _preset(preset).name

    @property
    def policy_source(self) -> str | None:
        """As :attr:`Settings.policy_source`; None for the service's policy."""
        return PRESETS[self.preset].policy if self.preset is not None else self.policy


class LogSettings(_Section):
    """The form of log lines, and which of Pictwarden's are written."""

    format: LogFormat = LogFormat.TEXT
    level: Literal["INFO", "WARNING", "ERROR"] = "INFO"


_ON_TRUNCATED: Mapping[Lane, OnTruncated] = {Lane.LIVE: OnTruncated.REFUSE, Lane.BACKGROUND: OnTruncated.SCAN}


def _of_every_lane(given: Mapping[Lane, OnTruncated]) -> Mapping[Lane, OnTruncated]:
    return {**_ON_TRUNCATED, **given}


def _off(given: object) -> object:
    """YAML reads a bare ``off`` as false."""
    return "off" if given is False else given


class Settings(_Section):
    """Everything that a person tunes, apart from Ray Serve's own options per deployment."""

    retry_after_s: ClassVar[int] = 30
    """No setting: the Retry-After of a 503. pict-rs does not read it; ``pictwarden check`` waits for so long."""

    policy: str | None = None
    model: ModelSettings = ModelSettings()
    preset: str | None = None
    on_unscanned: OnUnscanned = OnUnscanned.REJECT
    ledger: Annotated[str | None, AfterValidator(ledger_setting)] = None
    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S)] = 8.0
    shadow_policy: str | None = None
    truncated: Annotated[Mapping[Lane, OnTruncated], AfterValidator(_of_every_lane)] = _ON_TRUNCATED
    max_background_pictures: Annotated[int, Field(ge=1)] = 2
    rescan: Annotated[RescanMode, BeforeValidator(_off)] = RescanMode.REPORT
    hunt: Annotated[HuntMode, BeforeValidator(_off)] = HuntMode.REPORT
    decode_workers: Annotated[int, Field(ge=1)] | None = None
    docs: bool = False
    log: LogSettings = LogSettings()
    limits: Limits = Limits()
    authentication: AuthenticationSettings = AuthenticationSettings()
    pictrs: PictrsSettings = PictrsSettings()
    lemmy: LemmySettings = LemmySettings()
    admin: AdminSettings = AdminSettings()
    metrics: MetricsSettings = MetricsSettings()
    remote: RemoteSettings | None = None
    misskey: MisskeySettings = MisskeySettings()
    notices: NoticeSettings = NoticeSettings()
    sources: Mapping[Annotated[str, AfterValidator(_source_name)], SourceSettings] = {}

    @field_validator("preset")
    @classmethod
    def _one_choice(cls, preset: str | None, info: ValidationInfo) -> str | None:
        """Whoever sets a preset sets neither a policy nor a model: one of them would be ignored."""
        if preset is None:
            return None
        _preset(preset)
        model = info.data.get("model")
        beside = [
            *(["policy"] if info.data.get("policy") is not None else []),
            *(["model.source"] if isinstance(model, ModelSettings) and model.source is not None else []),
        ]
        if beside:
            raise ValueError(
                f"{preset} stands for a policy and its models: remove {' and '.join(beside)}, or remove preset"
            )
        return preset

    @model_validator(mode="after")
    def _require_source_of_pictrs(self) -> Self:
        name = self.pictrs.source
        if name is not None and name not in self.sources:
            error = PydanticCustomError("value_error", "sources has no such name")
            # Else the error would be one of all settings, without a key.
            details = InitErrorDetails(type=error, loc=("pictrs", "source"), input=name)
            raise ValidationError.from_exception_data("Settings", [details])
        return self

    @property
    def pictrs_source(self) -> str | None:
        """The source whose pictures the pict-rs at ``pictrs.url`` stores; None where sources are not told apart."""
        return (self.pictrs.source or UNNAMED_SOURCE) if self.sources else None

    @property
    def chosen_preset(self) -> Preset | None:
        """The one that is set, or the default where nothing else is; None for a policy or a model of somebody's own."""
        if self.preset is not None:
            return PRESETS[self.preset]
        return DEFAULT if self.policy is None and self.model.source is None else None

    @property
    def policy_source(self) -> str:
        """Where the policy comes from: ``shipped:NAME``, ``installed:horde-safety``, or a file."""
        if (preset := self.chosen_preset) is not None:
            return preset.policy
        # A file of version 0.1.0 may name the demo model alone.
        return self.policy or PRESETS["demo"].policy
