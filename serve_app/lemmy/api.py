"""What is asked of Lemmy, whatever version its API has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from serve_app.domain import LemmyRefusedError
from serve_app.lemmy.found import Page, Shown
from serve_app.lemmy.transport import Answer, Transport

PAGE: Final = 50
"""Entries in a page: no version gives more."""

Model = TypeVar("Model", bound=BaseModel)


class Api(Protocol):
    """One version of Lemmy's API.

    Every call raises ``LemmyUnavailableError`` where there is no answer, and ``LemmyRefusedError`` where Lemmy or the
    settings have to be changed first.
    """

    @property
    def is_newest_first(self) -> bool:
        """Whether the list of uploads begins with the newest."""
        ...

    async def page(self, cursor: str | None) -> Page:
        """A page of the list of uploads; the first one without ``cursor``."""
        ...

    async def search(self, alias: str) -> Sequence[Shown]:
        """The posts and comments with this alias in their link or text, but those that were removed; some twice."""
        ...

    async def report(self, shown: Shown, reason: str) -> bool:
        """File a report; False if Lemmy takes none: the account has reported it before, or it is gone."""
        ...


def parsed(model: type[Model], answer: Answer | None, transport: Transport) -> Model:
    """An answer as what it should be.

    Raises:
        LemmyRefusedError: it is something else, or there is none.
    """
    if answer is None:
        raise LemmyRefusedError(f"{transport.where} does not know the call: check lemmy.url; it may be too new")
    try:
        return model.model_validate(answer.fields)
    except ValidationError:
        # The cause would have a part of the answer in it, and so people's names.
        raise transport.strange() from None
