"""The way through Lemmy's list of uploads: it finds an alias wherever it stands, and ends whatever the list is like."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from serve_app.lemmy.found import Page, Upload
from serve_app.lemmy.listing import MOST_PAGES, Listed, find_uploads

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def upload(number: int) -> Upload:
    """The newest has the number 0."""
    return Upload(f"{number}.png", "alice@lemmy.example", NOON - timedelta(minutes=number))


@dataclass
class Uploads:
    """A list of uploads, some on a page. ``newcomers`` are uploaded before each further page."""

    count: int
    page_length: int
    is_newest_first: bool = True
    newcomers: int = 0
    most_pages: int = 10_000
    asked: list[str | None] = field(default_factory=list)

    async def page(self, cursor: str | None) -> Page:
        number = int(cursor or 0)
        start = number * self.page_length - self.newcomers * len(self.asked)
        self.asked.append(cursor)
        uploads = [upload(each) for each in range(start, min(start + self.page_length, self.count))]
        is_end = start + self.page_length >= self.count
        return Page(uploads, None if is_end or number + 1 >= self.most_pages else str(number + 1), is_end)


def find(pages: Uploads, aliases: list[str]) -> Listed:
    return asyncio.run(find_uploads(pages, aliases))


@given(st.data(), st.integers(1, 300), st.integers(1, 50), st.booleans())
def test_an_alias_is_found_wherever_it_stands(data: st.DataObject, count: int, length: int, is_sorted: bool) -> None:
    pages = Uploads(min(count, length * MOST_PAGES), length, is_sorted)
    wanted = data.draw(st.sets(st.integers(0, pages.count - 1), min_size=1, max_size=5))
    listed = find(pages, [f"{each}.png" for each in wanted])
    assert {each.alias for each in listed.uploads} == {f"{each}.png" for each in wanted}
    assert listed.is_whole
    assert len(pages.asked) == max(wanted) // length + 1, "no page more than needed"


@given(st.integers(2, 20), st.data(), st.integers(0, 60))
def test_an_alias_is_found_while_others_upload(length: int, data: st.DataObject, wanted: int) -> None:
    newcomers = data.draw(st.integers(0, length - 1))
    pages = Uploads(100, length, newcomers=newcomers)
    listed = find(pages, [f"{wanted}.png"])
    assert [each.alias for each in listed.uploads] == [f"{wanted}.png"]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "c", None])), max_size=30))
def test_the_search_ends_whatever_the_cursors_are(answers: list[tuple[int, str | None]]) -> None:
    class Odd:
        is_newest_first = False
        asked = 0

        async def page(self, cursor: str | None) -> Page:
            count, following = answers[self.asked] if self.asked < len(answers) else (0, "a")
            self.asked += 1
            return Page([upload(each) for each in range(count)], following, is_end=False)

    odd = Odd()
    listed = asyncio.run(find_uploads(odd, ["nobody.png"]))
    assert (listed.uploads, listed.is_whole) == ((), False)
    assert odd.asked <= 4


def test_a_list_without_an_end_is_given_up() -> None:
    pages = Uploads(100_000, 50)
    assert not find(pages, ["nobody.png"]).is_whole
    assert len(pages.asked) == MOST_PAGES


def test_what_is_listed_no_more_is_not_whole() -> None:
    pages = Uploads(100, 10, most_pages=5)
    assert find(pages, ["40.png", "60.png"]) == Listed((upload(40),), False, upload(49).uploaded_at)
    assert find(pages, ["40.png"]) == Listed((upload(40),), is_whole=True)
    assert find(Uploads(100, 10, is_newest_first=False, most_pages=5), ["60.png"]) == Listed((), is_whole=False)
