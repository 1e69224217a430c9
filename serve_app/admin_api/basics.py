"""What all of the admin API shares: where it is, its bounds, and the body of an error."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from serve_app.domain.storable_text import require_storable

ADMIN_PATH = "/api/v1/admin"
ADMIN_PORT = 14052
ADMIN_SECRETS_ENV = "PICTWARDEN_ADMIN_SECRETS"
"""The environment variable with the secrets of admins, as ``NAME:SECRET,NAME:SECRET``."""

MAX_BODY_BYTES = 1_000_000
"""Of a request, unless its route says otherwise."""

MOST_AT_ONCE = 1000
"""The longest page."""


class Request(BaseModel):
    """What a client sends. Every text in it can be stored."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*")
    @classmethod
    def _require_storable(cls, value: Any) -> Any:
        return require_storable(value) if isinstance(value, str) else value


class Problem(BaseModel):
    """The body of every answer that is an error."""

    reason: str = Field(description="one word for programs")
    message: str = Field(description="the same for people, with the way out")
