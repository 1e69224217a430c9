"""``make parity``: drawn pictures through horde-safety's ``NSFWChecker`` and through our policy, on equal weights.

Prints how often each condition held, and each difference. Exit code 0 if there is none, else 1.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from PIL import Image

from serve_app.domain import Deadline, LabelScores
from serve_app.media import MediaLimits, preprocess
from serve_app.models.demo.draw import random_picture
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engine
from serve_app.policy import Policy, margins_of, parse_policy
from serve_app.policy.horde_safety import installed_lists, policy_text
from tools.parity.model import IMAGE_SIZE_PX, Spread, make_model
from tools.parity.theirs import checker, conditions

SPREADS: Final = (Spread(0.06, 0.06), Spread(0.1, 0.06), Spread(0.13, 0.05))
"""Of cosines, one for each set of weights. The thresholds are 0.19 to 0.32: little exceeds them, some, and much."""


def main() -> int:
    """Compare, report, and say with the exit code whether all verdicts are equal."""
    parser = argparse.ArgumentParser(prog="python -m tools.parity", description=__doc__)
    parser.add_argument("--pictures", type=int, default=300, help="for each set of weights")
    parser.add_argument("--seed", type=int, default=0, help="of pictures and weights")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip warns of the random weights that are wanted
    version, lists = installed_lists()
    pictures = [_picture(np.random.default_rng([options.seed, index])) for index in range(options.pictures)]
    differences = 0
    with TemporaryDirectory() as folder:
        for index, spread in enumerate(SPREADS):
            model = Path(folder) / f"random-{index}"
            model.mkdir()
            policy = parse_policy(policy_text(lists, version, model.name), "horde-safety.yaml")
            make_model(model, pictures, policy.labels, spread, options.seed + index)
            differences += _compare(pictures, model, policy, spread)
    print(f"horde-safety {version}: {differences} differences")
    return 1 if differences else 0


def _picture(rng: np.random.Generator) -> Image.Image:
    """A drawn picture of the model's own size, so that neither side scales it."""
    return Image.fromarray(random_picture(rng, 2 * IMAGE_SIZE_PX).pixels).resize((IMAGE_SIZE_PX, IMAGE_SIZE_PX))


def _compare(pictures: list[Image.Image], folder: Path, policy: Policy, spread: Spread) -> int:
    theirs, engine = (
        checker(folder),
        open_engine(str(folder), policy.labels, device="cpu", precision="fp32", engine="torch"),
    )
    held: Counter[str] = Counter()  # shows that no condition was equal only because it never held
    differences = 0
    for number, picture in enumerate(pictures):
        expected = conditions(theirs.check_for_nsfw(picture))
        found = _ours(picture, engine, policy)
        held.update(name for name in expected if found[name])
        held["minor in the second pass"] += found["shows_minor"] and not found["minor"]
        differing = [name for name in expected if expected[name] != found[name]]
        differences += bool(differing)
        for name in differing:
            print(f"picture {number}: {name} is {expected[name]} in the package and {found[name]} in the policy")
    counts = ", ".join(f"{name} {count}" for name, count in held.items())
    print(
        f"{len(pictures)} pictures, cosines {spread.mean} +- {spread.deviation}: {differences} differ; held: {counts}"
    )
    return differences


def _ours(picture: Image.Image, engine: Engine, policy: Policy) -> Mapping[str, Any]:
    """The conditions of our policy on the one view of the picture, after the way of an upload."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    views = preprocess(stream.getvalue(), engine.identity.image_size_px, MediaLimits(), Deadline.after(60))
    cosines = engine.encode(views.pixels)
    margins = margins_of(policy, LabelScores(cosines, engine.logit_scale, engine.identity))
    over = {**margins.concepts, **margins.conditions, **margins.rules}
    return {name: bool((each > 0).any()) for name, each in over.items()}


if __name__ == "__main__":
    sys.exit(main())
