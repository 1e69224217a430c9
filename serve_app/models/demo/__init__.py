"""The embedded demo model: a tiny open_clip model, trained by ``tools/demo_model`` on drawn shapes.

With it one command runs the real loading code, the real graph and a real verdict on a machine without a network.
It knows eleven colours and eight shapes, and nothing of the world.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from serve_app.domain import MODEL_NOTICES

DEMO_NOTICE: Final = MODEL_NOTICES["demo-shapes"]


def demo_model_folder() -> Path:
    """The folder with the model's ``open_clip_config.json`` and ``open_clip_model.safetensors``."""
    return Path(__file__).with_name("model")
