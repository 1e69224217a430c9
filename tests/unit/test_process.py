"""What a process gives back after its start is only what it can have again."""

from serve_app.process import release_start_memory, unwritten_library_mappings

_SMAPS = """\
7f01-7f02 r-xp 00000000 fe:00 7  /lib/libexample.so.13
Size:                  4 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
7f02-7f03 r--p 00001000 fe:00 7  /lib/libexample.so.13
Size:                  4 kB
Anonymous:             4 kB
VmFlags: rd mr mw me
7f03-7f04 rw-p 00002000 fe:00 7  /lib/libexample.so.13
Size:                  4 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me
7f04-7f05 r--p 00000000 fe:00 8  /models/some.safetensors
Size:                  4 kB
Anonymous:             0 kB
7f05-7f06 r--p 00000000 00:00 0
Anonymous:             0 kB
7f06-7f08 r--p 00000000 fe:00 9  /lib/other.cpython-311-x86_64-linux-gnu.so
Size:                  8 kB
AnonHugePages:         4 kB
Anonymous:             0 kB
"""


def test_only_libraries_as_their_files_are_and_never_written_memory_are_unmapped() -> None:
    assert unwritten_library_mappings(_SMAPS) == [(0x7F01, 0x7F02), (0x7F06, 0x7F08)]


def test_libraries_work_after_it() -> None:
    import numpy as np

    before = np.linalg.inv(np.eye(3) * 2)
    release_start_memory()
    assert (np.linalg.inv(np.eye(3) * 2) == before).all()
