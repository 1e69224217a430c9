"""A decode worker that is confined decodes every kind of picture to the same pixels as a process that is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest

from serve_app.domain import Call, Deadline, LoadSignals
from serve_app.domain.limits import MediaLimits
from serve_app.media import preprocess
from serve_app.media.confinement import landlock_version
from serve_app.media.workers import DecodeWorkers
from tests.golden.test_media_version import BODIES, NEAR_BODIES, VIEW_PX

pytestmark = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")

IN_NO_HURRY_S = 60.0


@pytest.fixture(scope="module")
def workers() -> Iterator[DecodeWorkers]:
    with DecodeWorkers(MediaLimits(), 1) as started:
        yield started


def test_no_thread_of_a_library_was_there_before_it_was_confined(workers: DecodeWorkers) -> None:
    assert [psutil.Process(pid).num_threads() for pid in workers.pids()] == [1]


@pytest.mark.parametrize("make", [*BODIES.values(), *NEAR_BODIES.values()], ids=[*BODIES, *NEAR_BODIES])
async def test_it_decodes_what_it_decoded_before(workers: DecodeWorkers, make: Callable[[], bytes]) -> None:
    body = make()
    confined = await workers.preprocess(body, VIEW_PX, Call("r-1", Deadline.after(IN_NO_HURRY_S)), LoadSignals())
    here = preprocess(body, VIEW_PX, MediaLimits(), Deadline.after(IN_NO_HURRY_S))
    assert np.array_equal(confined.pixels, here.pixels)
    assert (confined.media_type, confined.frames_seen) == (here.media_type, here.frames_seen)
    assert workers.lost == 0
