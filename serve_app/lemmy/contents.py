"""People, posts and comments as Lemmy's answers have them: all versions agree on what is read here but for a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, Field

from serve_app.lemmy.found import Shown

_MOST_CHARACTERS: Final = 500


class Person(BaseModel):
    """Somebody with an account, here or elsewhere."""

    name: str
    address: str = Field(validation_alias=AliasChoices("ap_id", "actor_id"))

    @property
    def full_name(self) -> str:
        """With the instance, as in ``alice@lemmy.example``."""
        try:
            instance = urlsplit(self.address).hostname
        except ValueError:
            instance = None
        return _plain(f"{self.name}@{instance or 'unknown'}")


class _Post(BaseModel):
    id: int
    ap_id: str
    url: str | None = None
    body: str | None = None
    alt_text: str | None = None


class _PostView(BaseModel):
    post: _Post
    creator: Person


class _Comment(BaseModel):
    id: int
    ap_id: str
    content: str


class _CommentView(BaseModel):
    comment: _Comment
    creator: Person


class Contents(BaseModel):
    """What a search has found."""

    posts: list[_PostView]
    comments: list[_CommentView]

    def with_alias(self, alias: str) -> Iterator[Shown]:
        """Those that have this alias in their link or their text: Lemmy's search matches more than was asked for."""
        for each in self.posts:
            if any(alias in text for text in (each.post.url, each.post.body, each.post.alt_text) if text):
                yield Shown("post", each.post.id, _plain(each.post.ap_id), each.creator.full_name)
        for one in self.comments:
            if alias in one.comment.content:
                yield Shown("comment", one.comment.id, _plain(one.comment.ap_id), one.creator.full_name)


def _plain(text: str) -> str:
    """In one line, and not too long: other instances choose names and addresses, and terminals obey some characters."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:_MOST_CHARACTERS])
