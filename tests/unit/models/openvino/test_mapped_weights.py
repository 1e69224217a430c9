"""A file's pages are given back, and read again when they are wanted."""

from __future__ import annotations

import mmap
import re
import sys
from pathlib import Path

import pytest

from serve_app.models.openvino.mapped_weights import release

SIZE_BYTES = 8_000_000


def resident_kb(file: Path) -> int:
    """How much of the file this process has in its memory."""
    maps = Path("/proc/self/smaps").read_text("utf-8", errors="replace")
    of_file = re.search(rf"{re.escape(str(file))}\n(?:.*\n)*?Rss: +(\d+) kB", maps)
    assert of_file is not None
    return int(of_file[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked")
def test_the_pages_of_a_file_are_given_back_and_its_content_stays(tmp_path: Path) -> None:
    file = tmp_path / "with a blank.bin"
    file.write_bytes(bytes(range(250)) * (SIZE_BYTES // 250))
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        before = mapped[:]
        assert resident_kb(file) * 1024 >= SIZE_BYTES
        release(file)
        assert resident_kb(file) == 0
        assert mapped[:] == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked")
def test_what_this_process_may_have_changed_stays(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(SIZE_BYTES))
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        mapped[:4] = b"mine"
        release(file)
        assert mapped[:4] == b"mine"


def test_a_file_that_nobody_mapped_is_nothing_to_release(tmp_path: Path) -> None:
    release(tmp_path / "weights.bin")
