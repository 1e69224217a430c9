"""Bodies about stored pictures: bans, who brought a picture, and purges."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from serve_app.admin_api.lists import EntryRecord
from serve_app.domain.lists import FingerprintType


class StoredPictureRecord(BaseModel):
    """A picture that pict-rs has stored."""

    sha256: str
    body_bytes: int
    aliases: list[str]


class BanAnswer(BaseModel):
    """What a ban has done, or would do."""

    picture: StoredPictureRecord
    types: list[FingerprintType] = Field(description="of the entries that are made, or would be")
    entries: list[EntryRecord] = Field(description="empty if only what would be done was asked for")
    notes: list[str]
    purged: list[str] = Field(description="the aliases that lead to it no more")
    over_quota: bool = Field(description="denied, and still stored: today's quota of purges is used up")


class UploadRecord(BaseModel):
    """An upload of a picture, as Lemmy lists it."""

    alias: str
    person: str = Field(description="for instance alice@lemmy.example")
    uploaded_at: datetime
    thumbnail_of: int | None = Field(
        description="the post whose thumbnail it is: Lemmy has fetched it, and `person` is the author of the post"
    )


class ShownRecord(BaseModel):
    """A post or a comment that shows a picture."""

    kind: Literal["post", "comment"]
    id: int
    url: str
    author: str


class UploadersAnswer(BaseModel):
    """Who brought the picture of a decision. Nothing of this is recorded."""

    aliases: list[str] = Field(description="that lead to the picture in pict-rs")
    uploads: list[UploadRecord]
    shown: list[ShownRecord] = Field(description="where it is shown")
    notes: list[str] = Field(description="what is not known, for people")


class PurgeRecord(BaseModel):
    """A picture that was purged, or was to be."""

    id: str
    begun_at: datetime
    actor: str = Field(description="whose secret permitted it, or who gave the command; `service`: rescans")
    why: str
    sha256: str
    body_bytes: int | None
    store: str | None = Field(default=None, description="where it was; null: in pict-rs")
    aliases: list[str] = Field(description="that led to the picture when it began, or the names of its files")
    ended_at: datetime | None = Field(description="null while it goes on, or if the program ended meanwhile")
    purged: list[str] = Field(description="the aliases that lead to it no more")
    problem: str | None = Field(description="why it failed")


class Purges(BaseModel):
    """Purges, newest first."""

    purges: list[PurgeRecord]
