"""What Lemmy knows of a picture. All of it is personal data: it is shown to who asks, and neither logged nor stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Upload:
    """An entry of Lemmy's list of uploads.

    ``thumbnail_of`` is the id of a post if Lemmy itself has fetched the picture, as the thumbnail of that post. Then
    ``person`` is the author of the post, who has not uploaded it.
    """

    alias: str
    person: str = field(repr=False)
    uploaded_at: datetime
    thumbnail_of: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A post or a comment that shows a picture; ``id`` is Lemmy's number, ``url`` its address on its own instance."""

    kind: Literal["post", "comment"]
    id: int
    url: str
    author: str = field(repr=False)

    @property
    def name(self) -> str:
        """For people and the audit: it names no person."""
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class Brought:
    """Who has brought a picture, as far as Lemmy knows.

    ``unlisted`` are the aliases that the list of uploads does not have, ``is_whole`` and ``back_to`` as in
    :class:`~serve_app.lemmy.listing.Listed`: an unlisted alias may be older than that. ``unsearched`` are the aliases
    beyond the first ones, for which no posts and comments were searched.
    """

    uploads: tuple[Upload, ...] = ()
    unlisted: tuple[str, ...] = ()
    is_whole: bool = True
    back_to: datetime | None = None
    shown: tuple[Shown, ...] = ()
    unsearched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list of uploads.

    ``cursor`` asks for the next one, None if there is none. ``is_end`` if the list has nothing more; False on a last
    page says that Lemmy has more, and lists it for nobody.
    """

    uploads: Sequence[Upload]
    cursor: str | None = None
    is_end: bool = False
