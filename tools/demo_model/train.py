"""Trains the demo model: ``python -m tools.demo_model.train --out FOLDER``. Some 17 minutes of processor time.

The model is open_clip's own CLIP class, small, trained contrastively as CLIP is (Radford et al. 2021,
arXiv:2103.00020). One caption is true of many of the pictures in a batch, so a caption counts as a match for each
picture of which it is true, as in UniCL (Yang et al. 2022, arXiv:2204.03610). Only the image-to-text half of its loss
is used: the other half wants all pictures of a caption equally near to it, which held the temperature so high that
hardly a probability came over 0.8.

The pictures depend on the seed alone; the weights also on the number of threads, since it decides the order of sums.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP, SimpleTokenizer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torchvision.io import decode_jpeg, encode_jpeg

from serve_app.models.demo.draw import COLOURS, LARGEST_PX, SHAPES, DrawnPicture, random_picture
from tools.demo_model.captions import KINDS, NO_SHAPE, Label, word, wordings

IMAGE_SIZE_PX: Final = 64
CONTEXT_LENGTH: Final = 16
MODEL_CFG: Final[Mapping[str, object]] = {
    "embed_dim": 64,
    # timm's smallest ResNet, from random weights: a view takes one to two milliseconds on one core. In a short
    # comparison open_clip's own ModifiedResNet of the same speed learned both colours and shapes more slowly.
    "vision_cfg": {"image_size": IMAGE_SIZE_PX, "timm_model_name": "test_resnet", "timm_model_pretrained": False},
    # Nearly all of the text tower is its table of tokens; 32 wide it stays small in the repository.
    "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
MEAN: Final = (0.5, 0.5, 0.5)
STD: Final = (0.25, 0.25, 0.25)

TRAINING_LARGEST_PX: Final = 224
"""Pictures to train on are kept small: drawing takes as long as training, and all are squeezed to 64 px in the end."""
CHUNK: Final = 500
BATCH: Final = 64
PEAK_LEARNING_RATE: Final = 3e-3
WEIGHT_DECAY: Final = 0.05
WARMUP: Final = 0.1
FIRST_LOGIT_SCALE: Final = float(np.log(30))
HIGHEST_LOGIT_SCALE: Final = float(np.log(100))

console = Console()


@dataclass(frozen=True, slots=True)
class Drawings:
    """Drawn pictures as the service shows them to the model.

    ``views`` is uint8, ``(pictures, 3, 64, 64)``; ``labels`` has for each kind of caption one label per picture.
    """

    views: Tensor
    labels: tuple[list[Label], ...]


def _jpeg_noise(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """The picture as most reach a server: through a lossy file. ``(3, height, width)`` uint8, as given."""
    if rng.random() < 0.4:
        return pixels
    decoded: Tensor = decode_jpeg(encode_jpeg(pixels, quality=int(rng.integers(45, 97))))
    return decoded


def view_of(pixels: Tensor) -> Tensor:
    """The whole picture squeezed to ``(3, 64, 64)``, as Pillow's antialiased bicubic resize does, but for rounding."""
    squeezed = functional.interpolate(
        pixels[None].float(), size=(IMAGE_SIZE_PX, IMAGE_SIZE_PX), mode="bicubic", antialias=True
    )
    return squeezed[0].clamp(0, 255).round().to(torch.uint8)


def _draw_chunk(
    seed: np.random.SeedSequence, count: int, largest_px: int
) -> tuple[NDArray[np.uint8], list[list[Label]]]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    views = np.empty((count, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX), np.uint8)
    labels: list[list[Label]] = [[] for _ in KINDS]
    for row in views:
        picture: DrawnPicture = random_picture(rng, largest_px)
        pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous()
        row[:] = view_of(_jpeg_noise(rng, pixels)).numpy()
        for kind, of_kind in zip(KINDS, labels, strict=True):
            of_kind.append(kind(picture))
    return views, labels


def draw_many(seed: np.random.SeedSequence, count: int, largest_px: int, processes: int) -> Drawings:
    """``count`` random pictures (rounded up to whole chunks), drawn by several processes, the same for any number."""
    seeds = seed.spawn(-(-count // CHUNK))
    views: list[Tensor] = []
    labels: tuple[list[Label], ...] = tuple([] for _ in KINDS)
    with (
        ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool,
        Progress(console=console) as progress,
    ):
        task = progress.add_task("drawing pictures", total=len(seeds))
        chunks = pool.map(_draw_chunk, seeds, [CHUNK] * len(seeds), [largest_px] * len(seeds))
        for chunk_views, chunk_labels in chunks:
            views.append(torch.from_numpy(chunk_views))
            for of_kind, more in zip(labels, chunk_labels, strict=True):
                of_kind.extend(more)
            progress.advance(task)
    return Drawings(torch.cat(views), labels)


def _normalised(views: Tensor) -> Tensor:
    mean = torch.tensor(MEAN).view(3, 1, 1)
    std = torch.tensor(STD).view(3, 1, 1)
    return ((views.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _turned(views: Tensor) -> Tensor:
    """Each eighth of the batch turned and mirrored another way: no caption here depends on either."""
    eighths = views.chunk(8)
    turned = [torch.rot90(eighth, way % 4, (2, 3)) for way, eighth in enumerate(eighths)]
    return torch.cat([eighth.flip(3) if way >= 4 else eighth for way, eighth in enumerate(turned)])


def _loss(
    model: CLIP,
    tokenizer: SimpleTokenizer,
    rng: np.random.Generator,
    views: Tensor,
    labels: Sequence[list[Label]],
) -> Tensor:
    """The mean over the kinds of caption; each label in the batch is worded once per kind."""
    images = model.encode_image(_normalised(views), normalize=True)
    stated = [sorted(set(of_kind)) for of_kind in labels]
    tokens = tokenizer([word(rng, label) for of_kind in stated for label in of_kind])
    texts = torch.split_with_sizes(model.encode_text(tokens, normalize=True), [len(of_kind) for of_kind in stated])
    losses = []
    for of_kind, distinct, text in zip(labels, stated, texts, strict=True):
        row_of = {label: row for row, label in enumerate(distinct)}
        truths = torch.tensor([row_of[label] for label in of_kind])
        losses.append(functional.cross_entropy(model.logit_scale.exp() * images @ text.T, truths))
    return torch.stack(losses).mean()


def _batches(rng: np.random.Generator, pictures: int, steps: int) -> Iterator[NDArray[np.intp]]:
    """Indices of each step's pictures: one shuffled pass over all of them after the other."""
    left = np.empty(0, np.intp)
    for _ in range(steps):
        if len(left) < BATCH:
            left = rng.permutation(pictures)
        batch, left = left[:BATCH], left[BATCH:]
        yield batch


def _optimizer(model: CLIP) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98))


def train(model: CLIP, tokenizer: SimpleTokenizer, drawings: Drawings, steps: int, rng: np.random.Generator) -> None:
    """Fits ``model`` in place."""
    optimizer = _optimizer(model)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=steps, pct_start=WARMUP, cycle_momentum=False
    )
    model.train()
    with Progress(*Progress.get_default_columns(), "loss {task.fields[loss]:.3f}", console=console) as progress:
        task = progress.add_task("training", total=steps, loss=float("nan"))
        for chosen in _batches(rng, len(drawings.views), steps):
            labels = [[of_kind[index] for index in chosen] for of_kind in drawings.labels]
            loss = _loss(model, tokenizer, rng, _turned(drawings.views[torch.from_numpy(chosen)]), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, HIGHEST_LOGIT_SCALE)
            progress.update(task, advance=1, loss=loss.item())
    model.eval()


def _probabilities(model: CLIP, tokenizer: SimpleTokenizer, images: Tensor, labels: Sequence[Label]) -> Tensor:
    """Of each label for each image, ``(images, labels)``: what a policy's `contrast` score adds up."""
    texts = model.encode_text(tokenizer([wordings(label)[0] for label in labels]), normalize=True)
    probabilities: Tensor = (model.logit_scale.exp() * images @ texts.T).softmax(dim=1)
    return probabilities


def _are_right(scores: Tensor, labels: Sequence[Label], truths: Sequence[Label]) -> NDArray[np.bool_]:
    """Whether the likeliest label of each image is the true one."""
    return np.array([labels[best] == truth for best, truth in zip(scores.argmax(1).tolist(), truths, strict=True)])


@torch.inference_mode()
def report(model: CLIP, tokenizer: SimpleTokenizer, drawings: Drawings) -> None:
    """Prints how the model does on pictures it was not trained on."""
    parts = torch.split_with_sizes(drawings.views, [CHUNK] * (len(drawings.views) // CHUNK))
    images = torch.cat([model.encode_image(_normalised(views), normalize=True) for views in parts])
    colours: list[Label] = [(), *((colour,) for colour in COLOURS)]
    shapes: list[Label] = [(), *((shape,) for shape in SHAPES)]
    colour_scores = _probabilities(model, tokenizer, images, colours)
    shape_scores = _probabilities(model, tokenizer, images, shapes)
    true_colours, true_shapes, true_pairs = drawings.labels
    right_colours = _are_right(colour_scores, colours, true_colours)
    right_shapes = _are_right(shape_scores, shapes, true_shapes)
    bare = np.array([not pair for pair in true_pairs])
    wanted = np.array([pair == ("red", "triangle") for pair in true_pairs])
    red, triangle = colours.index(("red",)), shapes.index(("triangle",))
    both = (torch.minimum(colour_scores[:, red], shape_scores[:, triangle]) > 0.5).numpy()
    table = Table("on held-out drawings", "share", "of")
    for name, right, of in (
        ("colour named rightly", right_colours, ~bare),
        ("shape named rightly", right_shapes, ~bare),
        (f"no shape, named {NO_SHAPE!r}", right_shapes, bare),
        ("red triangle, both scores over 0.5", both, wanted),
        ("anything else, both scores over 0.5", both, ~wanted),
    ):
        table.add_row(name, f"{right[of].mean():.2%}", str(of.sum()))
    console.print(table)


def _forget_unknown_tokens(model: CLIP, tokenizer: SimpleTokenizer, drawings: Drawings) -> None:
    """Zeroes the table's rows of tokens that no caption has: they still hold the noise they were born with."""
    said = {wording for of_kind in drawings.labels for label in set(of_kind) for wording in wordings(label)}
    known = torch.zeros(len(model.token_embedding.weight), dtype=torch.bool)
    known[tokenizer(sorted(said)).unique()] = True
    with torch.no_grad():
        model.token_embedding.weight[~known] = 0


def save(model: CLIP, folder: Path) -> None:
    """Writes the model as open_clip's hub folders are: a configuration and safetensors, half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess_cfg = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the demo model on drawn shapes.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=30_000, help="pictures to draw and train on")
    parser.add_argument("--steps", type=int, default=4_500, help=f"training steps, {BATCH} pictures each")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="processes to draw, threads to train")
    return parser.parse_args()


def main() -> None:
    """Draws, trains, reports, saves."""
    arguments = _arguments()
    began = time.monotonic()
    torch.manual_seed(arguments.seed)
    training, held_out, order = np.random.SeedSequence(arguments.seed).spawn(3)
    drawings = draw_many(training, arguments.pictures, TRAINING_LARGEST_PX, arguments.threads)
    torch.set_num_threads(arguments.threads)
    model = CLIP(**MODEL_CFG, init_logit_scale=FIRST_LOGIT_SCALE).to(memory_format=torch.channels_last)
    tokenizer = SimpleTokenizer(context_length=CONTEXT_LENGTH)
    train(model, tokenizer, drawings, arguments.steps, np.random.default_rng(order))
    _forget_unknown_tokens(model, tokenizer, drawings)
    report(model, tokenizer, draw_many(held_out, 4_000, LARGEST_PX, arguments.threads))
    save(model, arguments.out)
    console.print(f"written to {arguments.out} after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
