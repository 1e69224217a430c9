"""People, posts and comments as Lemmy's answers have them: all versions agree on what is read here but for a name."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, Field

from serve_app.lemmy.found import Shown


class Person(BaseModel):
    """Somebody with an account, here or elsewhere."""

    name: str
    address: str = Field(validation_alias=AliasChoices("ap_id", "actor_id"))

    @property
    def full_name(self) -> str:
        """With the instance, as in ``alice@lemmy.example``."""
        return f"{self.name}@{urlsplit(self.address).hostname or 'unknown'}"


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
                yield Shown("post", each.post.id, each.post.ap_id, each.creator.full_name)
        for one in self.comments:
            if alias in one.comment.content:
                yield Shown("comment", one.comment.id, one.comment.ap_id, one.creator.full_name)
