"""nsfwjs on TensorFlow.js: pictures to class names and probabilities, in a Node that runs for all tests."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tests.e2e.nsfwjs.installation import FOLDER

_PROGRAM = Path(__file__).with_name("classify.mjs")


class Node:
    """Asks one running Node."""

    def __init__(self, questions: IO[str], answers: IO[str], folder: Path) -> None:
        self._questions = questions
        self._answers = answers
        self._file = folder / "picture.rgb"

    def classify(self, model: str, picture: NDArray[np.uint8]) -> Mapping[str, float]:
        """What the package's ``model`` says of an RGB picture, ``(height, width, 3)``: the likeliest class first."""
        height_px, width_px, _ = picture.shape
        self._file.write_bytes(picture.tobytes())
        asked = {"model": model, "file": str(self._file), "height_px": height_px, "width_px": width_px}
        self._questions.write(json.dumps(asked) + "\n")
        self._questions.flush()
        answer = self._answers.readline()
        if not answer:
            raise ChildProcessError("Node ended; its standard error says why")
        scores: dict[str, float] = json.loads(answer)
        return scores


@contextlib.contextmanager
def running_node() -> Iterator[Node]:
    """Node with the installed package, until the end of the block."""
    # Node looks for packages beside the file that imports them.
    program = shutil.copy(_PROGRAM, FOLDER)
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(["node", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Node(process.stdin, process.stdout, Path(folder))
        finally:
            process.kill()
