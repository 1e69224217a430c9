"""The ``args`` of ``serve_config.yaml``: parsed once, frozen, unknown keys refused.

What each key means to an operator stands beside it in ``serve_config.yaml``; ``tests/unit/test_settings.py`` asserts
that each one does. Secrets are not settings: they come from the environment variable that a setting names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator

from serve_app.domain import Lane, OnTruncated, OnUnscanned, SettingsError

# pict-rs' wall is 10 s. An answer may come half a second after the deadline, and the network takes its part.
MAX_DEADLINE_S = 9.0

# What each is, and who opens it: serve_app/models/registry.py.
EngineName = Literal["auto", "torch", "openvino", "openvino-int8"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Section):
    """Which model looks, and on what."""

    source: str = "embedded:demo-shapes"
    engine: EngineName = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    cpu_threads: Annotated[int, Field(ge=1)] | None = None
    max_batch_views: Annotated[int, Field(ge=1, le=128)] = 32
    max_queued_views: Annotated[int, Field(ge=1)] = 1024
    cache_folder: Path | None = None

    @model_validator(mode="after")
    def _require_one_choice(self) -> Self:
        if self.engine.startswith("openvino") and (self.device == "cuda" or self.precision != "auto"):
            raise ValueError(
                f"engine {self.engine} computes what was converted, in bf16 or int8 on the CPU: "
                "device is auto or cpu, precision auto"
            )
        return self


class LimitSettings(_Section):
    """How much of a picture is taken in. Most fields are as in :class:`serve_app.media.MediaLimits`."""

    max_body_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(64_000_000)
    max_inside_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(512_000_000)
    max_pixels: Annotated[int, Field(ge=1)] = 40_000_000
    max_video_pixels: Annotated[int, Field(ge=1)] = 8_294_400
    max_frames_total: Annotated[int, Field(ge=1)] = 900
    max_duration_s: Annotated[float, Field(gt=0)] = 900.0
    max_frames: Annotated[int, Field(ge=1)] = 16
    max_views: Annotated[int, Field(ge=1)] = 12
    max_decode_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S)] = 5.0
    max_decode_memory_bytes: Annotated[ByteSize, Field(ge=100_000_000)] = ByteSize(600_000_000)
    decode_workers: Annotated[int, Field(ge=1)] | None = None


class TruncatedSettings(_Section):
    """What to do with a picture whose end is missing, for each lane."""

    live: OnTruncated = OnTruncated.REFUSE
    background: OnTruncated = OnTruncated.SCAN

    def by_lane(self) -> dict[Lane, OnTruncated]:
        """The same, to be asked by lane."""
        return {lane: getattr(self, lane.value) for lane in Lane}


class AuthenticationSettings(_Section):
    """Who may ask."""

    secrets_env: str = "PICTWARDEN_SECRETS"
    trust_private_addresses: bool = False


class LedgerSettings(_Section):
    """How decisions are kept."""

    kept_decisions: Annotated[int, Field(ge=1)] = 10_000


class Settings(_Section):
    """Everything that a person tunes, apart from Ray Serve's own options per deployment."""

    model: ModelSettings = ModelSettings()
    policy: str = "shipped:demo-red-triangle"
    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S)] = 8.0
    on_unscanned: OnUnscanned = OnUnscanned.REJECT
    truncated: TruncatedSettings = TruncatedSettings()
    retry_after_s: Annotated[int, Field(ge=1)] = 30
    max_background_pictures: Annotated[int, Field(ge=1)] = 2
    docs: bool = False
    limits: LimitSettings = LimitSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    ledger: LedgerSettings = LedgerSettings()


def parse_settings(args: Mapping[str, Any]) -> Settings:
    """Settings from the plain values of a YAML mapping.

    Raises:
        SettingsError: one line for each thing that is wrong, with its key.
    """
    try:
        return Settings.model_validate(dict(args))
    except ValidationError as error:
        raise SettingsError(f"wrong settings (the args of serve_config.yaml):\n{wrong_keys(error)}") from error


def wrong_keys(error: ValidationError) -> str:
    """One line for each thing that is wrong, with its key."""
    return "\n".join(f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
