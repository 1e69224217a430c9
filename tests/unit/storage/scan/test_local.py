"""A folder of this machine, whatever its users have put into it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    SettingsError,
    StorageRefusedError,
    TooLargeError,
)
from serve_app.storage.scan.source import MOST_LISTED, StoredFile, Wanted
from serve_app.storage.scan.stores.local import LocalSource
from serve_app.storage.scan.stores.opening import open_source
from tests.unit.storage.scan.fakes import EVERYTHING, sha256_of

NO_OTHER_FILE_SYSTEM = "/dev/shm is no other file system here"
QUARANTINE = PurePosixPath("quarantine")
BODY = b"a picture"
HOSTILE_NAMES = [b"\xff\xfe.png", b"new\nline.png", b"\x1b[31mred.png", b"-rf", b" ", b"\xc3\xa9", b"a" * 255, b"%2e"]


@contextlib.asynccontextmanager
async def opened(root: Path, quarantine: PurePosixPath | None = None) -> AsyncIterator[LocalSource]:
    source = LocalSource(root, quarantine)
    try:
        yield source
    finally:
        await source.close()


async def listed(root: Path, wanted: Wanted = EVERYTHING, quarantine: PurePosixPath | None = None) -> list[StoredFile]:
    async with opened(root, quarantine) as source:
        return [each async for part in source.files(wanted) for each in part]


async def names(root: Path, wanted: Wanted = EVERYTHING, quarantine: PurePosixPath | None = None) -> list[str]:
    return [each.name for each in await listed(root, wanted, quarantine)]


def put(root: Path, name: str, body: bytes = BODY) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    return file


def children(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def _no_file_stays_open() -> Iterator[None]:
    before = open_files()
    yield
    # The event loop of the test is closed after this, or before: it has three, and no test lists thousands of folders.
    assert open_files() <= before + 3


async def test_files_are_listed_by_name_folder_by_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "z/a.png", "c/d/e.png", "c/a.png"):
        put(tmp_path, name)
    assert await names(tmp_path) == ["a.png", "b.png", "c/a.png", "c/d/e.png", "z/a.png"]


async def test_a_part_of_a_listing_is_bounded(tmp_path: Path) -> None:
    for number in range(MOST_LISTED + 1):
        (tmp_path / f"{number:04}").touch()
    async with opened(tmp_path) as source:
        parts = [len(part) async for part in source.files(EVERYTHING)]
        assert await source.count(EVERYTHING) == MOST_LISTED + 1
    assert parts == [MOST_LISTED, 1]


async def test_hidden_files_links_pipes_and_sockets_are_left_out(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside/secret.png")
    root = tmp_path / "root"
    put(root, "a.png")
    put(root, ".hidden/b.png")
    put(root, ".hidden.png")
    (root / "loop").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    (root / "broken").symlink_to(root / "nothing")
    (root / "link.png").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    os.mkfifo(root / "pipe")
    with contextlib.chdir(root), socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert await names(root) == ["a.png"]


async def test_a_root_may_be_a_link_and_is_named_by_its_end(tmp_path: Path) -> None:
    put(tmp_path / "store", "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    async with opened(tmp_path / "link") as source:
        assert source.url == f"file:{tmp_path}/store"
    assert await names(tmp_path / "link") == ["a.png"]


@pytest.mark.parametrize("kind", ["missing", "file", "loop"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    put(tmp_path, "file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SettingsError, match="cannot be opened"):
        LocalSource(tmp_path / kind)


async def test_hostile_names_are_names(tmp_path: Path) -> None:
    for name in HOSTILE_NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    async with opened(tmp_path) as source:
        files = [each async for part in source.files(EVERYTHING) for each in part]
        assert sorted(os.fsencode(each.name) for each in files) == sorted(HOSTILE_NAMES)
        for each in files:
            assert await source.read(each, 1_000) == os.fsencode(each.name)
            assert await source.remove(each, sha256_of(os.fsencode(each.name))) == (each.name,)
    assert children(tmp_path) == []


async def test_a_root_whose_name_is_no_text_has_a_url_that_is(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"\xff")
    root.mkdir()
    async with opened(root) as source:
        assert source.url == f"file:{tmp_path}/\\xff"


async def test_the_time_of_a_file_may_lie_outside_of_the_calendar(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    put(tmp_path, "b.png")
    real = (tmp_path / "a.png").stat()
    strange = os.stat_result((*real[:7], 0, 10**15, 0), {"st_mtime_ns": 10**24})
    with mock.patch("serve_app.storage.scan.stores.local.os.stat", return_value=strange):
        found = await listed(tmp_path, Wanted(is_newest_first=True))
    assert {each.name: each.modified_at for each in found} == {"a.png": None, "b.png": None}


def deep_folder(root: Path, name: str, levels: int) -> None:
    """A chain of folders whose path is longer than the system takes, with a file at its end."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    file = os.open("a.png", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(file, BODY)
    os.close(file)
    os.close(fd)


async def test_a_name_may_be_longer_than_a_path_of_the_system(tmp_path: Path) -> None:
    deep_folder(tmp_path, "d" * 250, 100)
    async with opened(tmp_path, QUARANTINE) as source:
        ((file,),) = [part async for part in source.files(EVERYTHING)]
        assert len(file.name) == 100 * 251 + len("a.png")
        assert await source.read(file, 100) == BODY
        await source.quarantine(file, sha256_of(BODY))
        assert [part async for part in source.files(EVERYTHING)] == []


@contextlib.contextmanager
def unopenable(last: str, number: int = errno.EACCES) -> Iterator[None]:
    """As for a user who is not root: the tests may be root's, who can open everything."""
    real = os.open

    def fake(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == last:
            raise OSError(number, os.strerror(number))
        return real(path, flags, mode, dir_fd=dir_fd)

    with mock.patch("serve_app.storage.scan.stores.local.os.open", fake):
        yield


async def test_a_folder_that_cannot_be_listed_is_told_as_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("a/x.png", "closed/y.png", "z/z.png"):
        put(tmp_path, name)
    with unopenable("closed"):
        async with opened(tmp_path) as source:
            files = [each async for part in source.files(EVERYTHING) for each in part]
            assert [each.name for each in files] == ["a/x.png", "closed/", "z/z.png"]
            with pytest.raises(FileUnreadableError, match="Permission denied"):
                await source.read(files[1], 100)
        assert await names(tmp_path, Wanted(prefix="closed/y")) == ["closed/"], "what is wanted lies in it"
        assert await names(tmp_path, Wanted(prefix="a")) == ["a/x.png"]
    async with opened(tmp_path) as source:
        with pytest.raises(FileUnreadableError, match="it is a folder"):
            await source.read(files[1], 100)


async def test_a_file_that_cannot_be_opened_is_unreadable_and_stays(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (file,) = await listed(tmp_path)
    async with opened(tmp_path, QUARANTINE) as source:
        with unopenable("a.png"):
            for call in (source.remove, source.quarantine):
                with pytest.raises(FileUnreadableError, match="Permission denied"):
                    await call(file, sha256_of(BODY))
            with pytest.raises(FileUnreadableError, match="Permission denied"):
                await source.read(file, 100)
    assert (tmp_path / "a.png").exists()


async def test_a_name_that_is_too_long_is_unreadable(tmp_path: Path) -> None:
    async with opened(tmp_path) as source:
        with pytest.raises(FileUnreadableError, match="File name too long"):
            await source.read(StoredFile("a" * 256, 1, "1"), 100)


def vanish(file: Path) -> None:
    file.unlink()


def become_a_link(file: Path) -> None:
    target = file.rename(file.with_name(".target"))
    file.symlink_to(target)


def become_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def become_a_socket(file: Path) -> None:
    file.unlink()
    with contextlib.chdir(file.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(file.name)


def have_its_folder_be_a_link(file: Path) -> None:
    outside = file.parent.rename(file.parent.with_name(".outside"))
    file.parent.symlink_to(outside)


def have_its_folder_be_a_file(file: Path) -> None:
    shutil.rmtree(file.parent)
    file.parent.touch()


def shrink(file: Path) -> None:
    file.write_bytes(BODY[:-1])


def change(file: Path) -> None:
    file.write_bytes(BODY.upper())


def be_replaced(file: Path) -> None:
    file.unlink()
    file.write_bytes(BODY.upper())


CHANGES: dict[Callable[[Path], None], tuple[type[Exception] | None, type[Exception]]] = {
    vanish: (FileGoneError, FileGoneError),
    become_a_link: (FileUnreadableError, FileChangedError),
    become_a_pipe: (FileUnreadableError, FileChangedError),
    become_a_folder: (FileUnreadableError, FileChangedError),
    become_a_socket: (FileUnreadableError, FileChangedError),
    have_its_folder_be_a_link: (FileGoneError, FileGoneError),
    have_its_folder_be_a_file: (FileGoneError, FileGoneError),
    shrink: (None, FileChangedError),
    change: (None, FileChangedError),
    be_replaced: (None, FileChangedError),
}


@pytest.mark.parametrize("become", CHANGES)
async def test_what_has_taken_the_place_of_a_file_is_neither_followed_nor_removed(
    tmp_path: Path, become: Callable[[Path], None]
) -> None:
    path = put(tmp_path, "folder/a.png")
    (file,) = await listed(tmp_path)
    on_reading, on_removing = CHANGES[become]
    become(path)

    def everything() -> list[tuple[Path, bytes]]:
        return sorted((each, each.read_bytes() if each.is_file() else b"") for each in tmp_path.rglob("*"))

    before = everything()
    async with opened(tmp_path, QUARANTINE) as source:
        if on_reading is None:
            await source.read(file, 100)
        else:
            with pytest.raises(on_reading):
                await source.read(file, 100)
        for call in (source.remove, source.quarantine):
            with pytest.raises(on_removing):
                await call(file, sha256_of(BODY))
    assert everything() == before


def grow(file: Path) -> None:
    file.write_bytes(b"another picture")


def be_overwritten(file: Path) -> None:
    file.write_bytes(BODY.upper())
    os.utime(file, (1, 1))  # its clock need not have ticked meanwhile


@pytest.mark.parametrize("become", [be_replaced, grow, be_overwritten])
async def test_what_takes_the_name_after_the_second_look_stays(tmp_path: Path, become: Callable[[Path], None]) -> None:
    path = put(tmp_path, "a.png")
    (file,) = await listed(tmp_path)
    real = os.read

    def read(fd: int, length: int) -> bytes:
        body = real(fd, length)
        if not body:
            become(path)
        return body

    async with opened(tmp_path) as source:
        with mock.patch("serve_app.storage.scan.stores.local.os.read", read), pytest.raises(FileChangedError):
            await source.remove(file, sha256_of(BODY))
    assert path.read_bytes() != BODY


async def test_a_file_may_be_as_long_as_the_limit_and_no_longer(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (file,) = await listed(tmp_path)
    async with opened(tmp_path) as source:
        assert await source.read(file, len(BODY)) == BODY
        with pytest.raises(TooLargeError, match="9 bytes; the limit is 8"):
            await source.read(file, len(BODY) - 1)


async def test_files_that_are_read_at_once_have_each_their_own_bytes_or_error(tmp_path: Path) -> None:
    for number in range(40):
        put(tmp_path, f"{number:02}.png", f"body {number}".encode())
    files = await listed(tmp_path)
    vanish(tmp_path / "07.png")
    become_a_link(tmp_path / "08.png")
    put(tmp_path, "09.png", b"x" * 101)
    async with opened(tmp_path) as source:
        read = await asyncio.gather(*(source.read(file, 100) for file in files), return_exceptions=True)
    wrong: dict[int, type[Exception]] = {7: FileGoneError, 8: FileUnreadableError, 9: TooLargeError}
    for number, got in enumerate(read):
        assert type(got) is wrong[number] if number in wrong else got == f"body {number}".encode()


async def test_a_file_that_grows_while_it_is_read_ends_at_the_limit(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png")
    (file,) = await listed(tmp_path)
    real = os.read

    def read(fd: int, length: int) -> bytes:
        with path.open("ab") as stream:
            stream.write(BODY)
        return real(fd, length)

    async with opened(tmp_path) as source:
        with (
            mock.patch("serve_app.storage.scan.stores.local.os.read", read),
            pytest.raises(TooLargeError, match="it grows"),
        ):
            await source.read(file, 100)


async def test_a_changed_file_has_another_version(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png")
    (before,) = await listed(tmp_path)
    os.utime(path, ns=(0, 1))
    (after,) = await listed(tmp_path)
    assert before.version != after.version
    assert [each.version for each in await listed(tmp_path)] == [after.version]


async def test_of_hard_links_each_is_a_file_and_one_is_removed(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    first, _ = await listed(tmp_path)
    async with opened(tmp_path) as source:
        await source.remove(first, sha256_of(BODY))
    assert await names(tmp_path) == ["b.png"]


async def test_a_quarantined_file_keeps_its_name_and_is_not_scanned_again(tmp_path: Path) -> None:
    put(tmp_path, "x/a.png")
    (file,) = await listed(tmp_path)
    async with opened(tmp_path, QUARANTINE) as source:
        assert await source.quarantine(file, sha256_of(BODY)) == ("x/a.png",)
    assert (tmp_path / "quarantine/x/a.png").read_bytes() == BODY
    assert (tmp_path / "quarantine").stat().st_mode & 0o777 == 0o700
    assert await names(tmp_path, quarantine=QUARANTINE) == []
    assert await names(tmp_path) == ["quarantine/x/a.png"]


async def test_nothing_in_the_quarantine_is_replaced(tmp_path: Path) -> None:
    bodies = [f"a picture {number}".encode() for number in range(2)] * 3
    async with opened(tmp_path, QUARANTINE) as source:
        for body in bodies:
            put(tmp_path, "a.png", body)
            await source.quarantine(StoredFile("a.png", 1, "1"), sha256_of(body))
    kept = [each.read_bytes() for each in (tmp_path / "quarantine").iterdir()]
    assert sorted(kept) == sorted(bodies)
    assert not (tmp_path / "a.png").exists()


async def test_a_second_link_to_a_quarantined_file_is_taken_away_too(tmp_path: Path) -> None:
    async with opened(tmp_path, QUARANTINE) as source:
        put(tmp_path, "a.png")
        (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
        for _ in range(3):
            await source.quarantine(StoredFile("a.png", 1, "1"), sha256_of(BODY))
            (tmp_path / "a.png").hardlink_to(tmp_path / "b.png")
    assert len(list((tmp_path / "quarantine").iterdir())) == 3


async def test_a_name_of_the_greatest_length_can_be_quarantined_twice(tmp_path: Path) -> None:
    name = "a" * 255
    async with opened(tmp_path, QUARANTINE) as source:
        for _ in range(2):
            put(tmp_path, name)
            await source.quarantine(StoredFile(name, 1, "1"), sha256_of(BODY))
    assert sorted(each.name for each in (tmp_path / "quarantine").iterdir()) == sorted([name, sha256_of(BODY)])


async def test_folders_beside_the_quarantine_are_scanned_whatever_they_are_called(tmp_path: Path) -> None:
    beside = ["None/a.png", "media/q/a.png", "q.png", "q2/a.png", "quarantine/a.png", "x/media/q/a.png"]
    for name in [*beside, "q/a.png", "q/b/c.png"]:
        put(tmp_path, name)
    assert sorted(await names(tmp_path, quarantine=PurePosixPath("q"))) == sorted(beside)
    assert len(await names(tmp_path)) == len(beside) + 2
    assert "media/q/a.png" not in await names(tmp_path, quarantine=PurePosixPath("media/q"))


async def test_without_a_folder_of_the_quarantine_nothing_is_moved(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    async with opened(tmp_path) as source:
        with pytest.raises(StorageRefusedError, match="name a folder with --quarantine"):
            await source.quarantine(StoredFile("a.png", 1, "1"), sha256_of(BODY))


@pytest.mark.parametrize("is_folder", [True, False])
async def test_a_link_in_the_place_of_the_quarantine_is_not_followed(tmp_path: Path, is_folder: bool) -> None:
    put(tmp_path, "root/a.png")
    target = tmp_path / "outside"
    target.mkdir() if is_folder else target.touch()
    (tmp_path / "root/quarantine").symlink_to(target)
    async with opened(tmp_path / "root", QUARANTINE) as source:
        with pytest.raises((FileGoneError, FileUnreadableError, StorageRefusedError)):
            await source.quarantine(StoredFile("a.png", 1, "1"), sha256_of(BODY))
    assert (tmp_path / "root/a.png").exists()
    assert not is_folder or list(target.iterdir()) == []


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(NO_OTHER_FILE_SYSTEM)
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


async def test_a_quarantine_on_another_file_system_is_refused_with_the_way_out(
    tmp_path: Path, other_file_system: Path
) -> None:
    put(tmp_path, "a.png")
    async with opened(tmp_path, QUARANTINE) as source:
        (tmp_path / "quarantine").mkdir()
        real = os.open

        def mounted(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if path == "quarantine":  # nobody but root could mount one there
                return real(other_file_system, flags)
            return real(path, flags, mode, dir_fd=dir_fd)

        refused = pytest.raises(StorageRefusedError, match=r"on another file system .*: name a folder on the same one")
        with mock.patch("serve_app.storage.scan.stores.local.os.open", mounted), refused:
            await source.quarantine(StoredFile("a.png", 1, "1"), sha256_of(BODY))
    assert (tmp_path / "a.png").read_bytes() == BODY
    assert children(other_file_system) == []


async def test_no_call_leaves_a_file_open(tmp_path: Path) -> None:
    for number in range(40):
        put(tmp_path, f"{number}/a.png")
    async with opened(tmp_path, QUARANTINE) as source:
        files = [each async for part in source.files(EVERYTHING) for each in part]
        before = open_files()
        for file in files:
            await source.read(file, 100)
            for call in (source.read(file, 1), source.remove(file, "0" * 64), source.quarantine(file, "0" * 64)):
                with contextlib.suppress(TooLargeError, FileChangedError):
                    await call
            await source.quarantine(file, sha256_of(BODY))
        assert open_files() <= before


async def test_a_listing_that_is_left_leaves_no_file_open(tmp_path: Path) -> None:
    for number in range(MOST_LISTED + 1):
        (tmp_path / f"{number:04}").touch()
    before = open_files()
    async with opened(tmp_path) as source:
        parts = source.files(EVERYTHING)
        await anext(parts)
        await parts.aclose()  # type: ignore[attr-defined]
    await asyncio.get_running_loop().shutdown_default_executor()  # its threads may still hold the listing
    assert open_files() <= before


async def test_a_closed_source_touches_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    source = LocalSource(tmp_path)
    await source.close()
    await source.close()
    with pytest.raises(FileUnreadableError):
        await source.remove(StoredFile("a.png", 1, "1"), sha256_of(BODY))
    assert (tmp_path / "a.png").exists()


NAMES = st.text(st.sampled_from("ab.\udcff\n"), min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def files_first(name: str) -> list[tuple[bool, str]]:
    """The order of a listing: the files of a folder come before its folders."""
    *folders, last = name.split("/")
    return [*((True, each) for each in folders), (False, last)]


@given(
    st.dictionaries(PATHS, st.integers(0, 5), max_size=12),
    st.none() | st.integers(0, 5),
    st.sampled_from(["", "a", "a/", "ab", "b/a"]),
)
def test_every_file_that_is_wanted_is_listed_once(age_by_name: dict[str, int], since: int | None, prefix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        there: dict[str, datetime] = {}
        for name, age in age_by_name.items():
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                file = put(root, name)
                at = LONG_AGO + timedelta(days=age)
                os.utime(file, (at.timestamp(), at.timestamp()))
                there[name] = at
        moment = None if since is None else LONG_AGO + timedelta(days=since)
        wanted = [
            name
            for name, at in sorted(there.items(), key=lambda each: files_first(each[0]))
            if not any(part.startswith(".") for part in name.split("/"))
            and name.startswith(prefix)
            and (moment is None or at >= moment)
        ]
        by_name = asyncio.run(names(root, Wanted(prefix, moment)))
        newest = asyncio.run(names(root, Wanted(prefix, moment, is_newest_first=True)))
    assert by_name == wanted
    assert newest == sorted(wanted, key=there.__getitem__, reverse=True)


@pytest.mark.parametrize("named", ["file:{}", "file://{}", "{}"])
async def test_a_folder_is_named_by_its_path_or_a_url(tmp_path: Path, named: str) -> None:
    source = open_source(named.format(tmp_path))
    assert source.url == f"file:{tmp_path}"
    await source.close()


@pytest.mark.parametrize("named", ["", "file:", "folder", "ftp://host", "http://host"])
def test_a_name_without_a_form_is_refused(named: str) -> None:
    with pytest.raises(SettingsError, match="names no store: its form is pictrs:"):
        open_source(named)


@pytest.mark.parametrize("quarantine", ["/q", "..", "a/../..", "", "."])
def test_a_quarantine_outside_of_the_store_is_refused(tmp_path: Path, quarantine: str) -> None:
    with pytest.raises(SettingsError, match="lies outside the store"):
        open_source(str(tmp_path), quarantine)
