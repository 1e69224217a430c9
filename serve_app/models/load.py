"""A model source to a loaded open_clip model. All of open_clip's file formats and tags are met here, and only here."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from serve_app.domain import ModelError, ModelIdentity
from serve_app.models.clip_library import open_clip
from serve_app.models.demo import DEMO_NOTICE, demo_model_folder
from serve_app.models.source import (
    ConvertedFolder,
    EmbeddedModel,
    FakeModel,
    FolderModel,
    HubModel,
    RandomModel,
    parse_source,
    source_name,
)

_HUB_CONFIG = "open_clip_config.json"
_ARCHITECTURE_KEYS = ("embed_dim", "vision_cfg", "text_cfg")
_PREFERRED_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
_CHUNK_BYTES = 1 << 20

RANDOM_NOTICE = "random weights: true speed, no meaning; this protects nobody"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An open_clip model in float32 on the CPU, and what is needed to use it.

    ``mean`` and ``std`` normalise RGB in 0..1, as the model was trained; ``logit_scale`` is already exponentiated.
    """

    network: open_clip.CLIP | open_clip.CustomTextCLIP
    tokenize: Callable[[list[str]], torch.Tensor]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    logit_scale: float
    identity: ModelIdentity


@dataclass(frozen=True, slots=True)
class _Located:
    """How open_clip is asked for a model, and the files whose bytes make its digest."""

    open_clip_name: str
    files: tuple[Path, ...]
    notice: str | None = None
    pretrained: str | None = None
    quick_gelu: bool = False


def load_model(source: str) -> LoadedModel:
    """Load what ``source`` names (see :mod:`serve_app.models.source`), downloading it if need be.

    Raises:
        ModelError: unknown, not to be downloaded, or not loadable; the message says how to provide it by path.
    """
    name = source_name(source)
    located = _locate(source)
    try:
        with warnings.catch_warnings():
            # open_clip warns of what we ask for on purpose (random weights) or have already settled (quick_gelu).
            warnings.simplefilter("ignore")
            torch.manual_seed(0)  # only `random:` draws weights; the same architecture must give the same model
            network = open_clip.create_model(
                located.open_clip_name, pretrained=located.pretrained, force_quick_gelu=located.quick_gelu
            )
            tokenize = open_clip.get_tokenizer(located.open_clip_name)
    except Exception as error:  # of many trees too: torch, safetensors, open_clip and what it builds on, the tokenisers
        reason = str(error).strip() or "open_clip gives no reason"
        raise ModelError(f"model {source!r} cannot be loaded: {reason}") from error
    if not isinstance(network, open_clip.CLIP | open_clip.CustomTextCLIP):
        raise ModelError(f"model {source!r} is a {type(network).__name__}, and only two-tower CLIP models are read")
    network.eval()
    preprocess_cfg = open_clip.get_model_preprocess_cfg(network)
    return LoadedModel(
        network=network,
        tokenize=tokenize,
        mean=tuple(preprocess_cfg["mean"]),
        std=tuple(preprocess_cfg["std"]),
        logit_scale=math.exp(float(network.logit_scale.detach())),
        identity=ModelIdentity(
            name=name,
            digest=_digest(located.files, name),
            image_size_px=_square_size_px(preprocess_cfg["size"], source),
            notice=located.notice,
        ),
    )


def _locate(source: str) -> _Located:
    match parse_source(source):
        case EmbeddedModel():
            return _locate_in_folder(demo_model_folder(), DEMO_NOTICE)
        case FolderModel(folder):
            return _locate_in_folder(folder, None)
        case RandomModel(architecture):
            _require_architecture(architecture)
            return _Located(architecture, files=(), notice=RANDOM_NOTICE)
        case HubModel(architecture, tag):
            return _locate_on_hub(architecture, tag)
        case ConvertedFolder(folder):
            raise ModelError(f"{folder} is converted for OpenVINO: torch needs the model that it was made of")
        case FakeModel():
            raise ModelError("the fake engine has no model to load")


def _locate_in_folder(folder: Path, notice: str | None) -> _Located:
    if not folder.is_dir():
        raise ModelError(f"model folder {folder} does not exist")
    weights = _only_file(folder, "*.safetensors")
    hub_config = folder / _HUB_CONFIG
    if hub_config.is_file():
        # open_clip looks for the weights itself, and prefers a well-known name over a safetensors file.
        rivals = sorted([*folder.glob("*.bin"), *folder.glob("*.pth")])
        if rivals and weights.name not in _PREFERRED_WEIGHTS:
            raise ModelError(
                f"model folder {folder} has two weights, {weights.name} and {rivals[0].name}: "
                f"take one away, or name the safetensors {_PREFERRED_WEIGHTS[0]}"
            )
        return _Located(f"local-dir:{folder}", (hub_config, weights), notice)
    # The other form that open_clip reads: a bare architecture, registered under its file's name.
    config = _only_file(folder, "*.json")
    _require_architecture_config(config)
    open_clip.add_model_config(config)
    return _Located(config.stem, (config, weights), notice, pretrained=str(weights))


def _require_architecture_config(config: Path) -> None:
    try:
        fields = json.loads(config.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{config} is not JSON: {error}") from error
    # Asked before open_clip's registry takes it: a bad entry there breaks every later look at the registry.
    missing = [key for key in _ARCHITECTURE_KEYS if not isinstance(fields, dict) or key not in fields]
    if missing:
        raise ModelError(f"{config} is no open_clip architecture: it has no {', '.join(missing)}")


def _only_file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ModelError(
            f"model folder {folder} has {len(found)} files {pattern}, and needs one: an open_clip configuration "
            f"({_HUB_CONFIG}, or ARCHITECTURE.json) and its weights as safetensors"
        )
    return found[0]


def _locate_on_hub(architecture: str, tag: str) -> _Located:
    _require_architecture(architecture)
    config: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise ModelError(f"open_clip has no weights {tag!r} for {architecture}{_did_you_mean(tag, tags)}")
    hub = str(config.get("hf_hub") or config.get("url"))
    try:
        weights = Path(open_clip.download_pretrained(config))
    except Exception as error:  # the hub's client raises of many trees: requests, httpx, its own, OSError
        reason = str(error).strip().partition("\n")[0] or "the hub's client gives no reason"
        raise ModelError(
            f"model {architecture}/{tag} could not be downloaded: wanted {hub.rstrip('/')} from its hub "
            f'({reason}). Without a network, run `python -c "import open_clip; open_clip.create_model('
            f'{architecture!r}, pretrained={tag!r})"` on a machine that has one, and copy its cache of the hub, '
            "~/.cache/huggingface or HF_HOME, to this machine"
        ) from error
    return _Located(
        architecture,
        (weights,),
        pretrained=tag,
        # The weights know which activation they were trained with; open_clip alone only warns, and scores wrongly.
        quick_gelu=bool(config.get("quick_gelu", False)),
    )


def _require_architecture(architecture: str) -> None:
    known = open_clip.list_models()
    if architecture not in known:
        raise ModelError(f"open_clip has no architecture {architecture!r}{_did_you_mean(architecture, known)}")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _square_size_px(size: int | tuple[int, int] | list[int], source: str) -> int:
    width_px, height_px = (size, size) if isinstance(size, int) else size
    if width_px != height_px:
        raise ModelError(f"model {source!r} takes {width_px}x{height_px} pictures, and only square ones are cut")
    return int(width_px)


def _digest(files: Iterable[Path], name: str) -> str:
    """sha256 (hex) over the files' bytes in order; over the name alone for a model without files."""
    digest = hashlib.sha256(b"" if files else name.encode())
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()
