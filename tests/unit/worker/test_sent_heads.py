"""Heads that a front sends: they score as files do, and nothing else in their place is taken."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.domain import Call, Deadline, HeadFile, ModelError, head_label
from serve_app.models.agreement import PolicyReference
from serve_app.models.factory import open_embedding, open_engine
from serve_app.models.heads import Head, write_head
from serve_app.remote.messages import Wanted
from serve_app.settings import ModelSettings
from serve_app.worker import KeptScorers
from serve_app.worker.sent_heads import sent_heads
from tests.unit.worker.front import views, wanted, work

DEMO = "embedded:demo-shapes"
DIRECTION = np.array([0.6, 0.8, 0.0], np.float32)


def written(folder: Path, head: Head) -> tuple[str, bytes]:
    """A head's label, and its file."""
    file = folder / "spam.safetensors"
    label = head_label("spam", write_head(file, head))
    return label, file.read_bytes()


def fake_head(
    direction: NDArray[np.float32] = DIRECTION, scale: float = 8.0, digest: str = "0" * 64, model: str = "fake"
) -> Head:
    return Head(model, digest, direction, scale, -2.0, {})


def wanting(label: str, *contents: bytes) -> Wanted:
    return wanted("fake", ("red", label), heads=dict.fromkeys([label], *contents) if contents else {})


@pytest.fixture
async def kept() -> AsyncIterator[KeptScorers]:
    kept = KeptScorers(ModelSettings(cpu_threads=1, max_batch_views=4))
    yield kept
    await kept.close()


async def test_a_head_scores_the_demo_model_as_its_file_does(kept: KeptScorers, tmp_path: Path) -> None:
    embedding = open_embedding(DEMO, None)
    size_px = embedding.identity.image_size_px
    pixels = views(4, size_px)
    first = embedding.encode(embedding.upload(list(pixels)))[0]
    identity = embedding.identity
    trained = Head(identity.name, identity.weights_digest, first / np.linalg.norm(first), 20.0, -15.0, {})
    label, content = written(tmp_path, trained)
    labels = ("a red triangle", label)
    file = HeadFile(tmp_path / "spam.safetensors", label[-12:])
    local = open_engine(DEMO, labels, cpu_threads=1, policy=PolicyReference("p.yaml", "0" * 64, {label: file}))
    expected = local.encode(local.upload(list(pixels)))
    file.file.unlink()
    opened = await kept.open(wanted(DEMO, labels, heads={label: content}))
    scored = await opened.score(work(1, pixels), Call("1", Deadline.after(8.0)))
    np.testing.assert_allclose(scored.values, expected, atol=1e-5)
    assert scored.values[0, 1] > scored.values[1:, 1].max()


async def test_another_head_loads_anew(kept: KeptScorers, tmp_path: Path) -> None:
    values = []
    for number, scale in enumerate((8.0, 4.0)):
        (tmp_path / str(number)).mkdir()
        label, content = written(tmp_path / str(number), fake_head(scale=scale))
        opened = await kept.open(wanting(label, content))
        values.append((await opened.score(work(1, views(2)), Call("1", Deadline.after(8.0)))).values)
    assert (values[0][:, 1] != values[1][:, 1]).all()


async def test_one_for_other_weights_or_of_another_length_is_refused(kept: KeptScorers, tmp_path: Path) -> None:
    for head, told in (
        (
            fake_head(digest="b" * 64),
            r"the head head/spam@\w{12} was trained on fake@bbbbbbbbbbbb, and the loaded model",
        ),
        (fake_head(np.eye(1, 5, dtype=np.float32)[0]), "whose embedding has 5 numbers, and the loaded model's has 3"),
    ):
        label, content = written(tmp_path, head)
        (tmp_path / "spam.safetensors").unlink()
        with pytest.raises(ModelError, match=told):
            await kept.open(wanting(label, content))


def test_one_that_was_not_sent_or_is_another_than_its_label_says_is_refused(tmp_path: Path) -> None:
    label, content = written(tmp_path, fake_head())
    with pytest.raises(ModelError, match=f"the front wants {label} and did not send it"):
        sent_heads(wanting(label))
    with pytest.raises(ModelError, match=f"sent another file for {label}, whose sha256 is"):
        sent_heads(wanting(label, content[:-1] + b"x"))


@pytest.mark.parametrize(
    "hostile",
    [
        fake_head(np.array([0.6, np.nan, 0.0], np.float32)),
        fake_head(scale=np.inf),
        fake_head(np.eye(3, dtype=np.float32)),
        fake_head(model="\x1b[31m"),
    ],
)
def test_one_that_no_training_makes_is_refused(hostile: Head, tmp_path: Path) -> None:
    label, content = written(tmp_path, hostile)
    with pytest.raises(ModelError, match=f"what the front sent for {label} is no head"):
        sent_heads(wanting(label, content))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_bytes_with_the_right_digest_that_are_no_head_are_refused(content: bytes) -> None:
    label = head_label("spam", hashlib.sha256(content).hexdigest())
    with pytest.raises(ModelError, match="is no head"):
        sent_heads(wanting(label, content))


def test_what_no_label_names_is_left_unread() -> None:
    assert sent_heads(wanted("fake", ("red",), heads={"head/spam@" + "a" * 12: b"?"})) == {}
