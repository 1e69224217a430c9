"""Which workers a fleet takes: of one model, under a name of their own, and not too many."""

from __future__ import annotations

from collections.abc import Collection

from serve_app.domain import ModelIdentity
from serve_app.remote.fleet.workload import PassTimes
from serve_app.remote.messages import PROTOCOL, Hello, Refusal, Refused


class RefusedError(Exception):
    """A worker is not taken; ``refused`` says why, to its owner."""

    def __init__(self, refused: Refused) -> None:
        """``refused`` is sent to the worker."""
        super().__init__(refused)
        self.refused = refused

    def __str__(self) -> str:
        return self.refused.message


class Admission:
    """Says who may join. The first worker decides which model it is."""

    def __init__(self, label_sets: int, max_workers: int) -> None:
        """For workers with a model for each of so many sets of labels."""
        self._label_sets = label_sets
        self._max_workers = max_workers
        self._models: tuple[ModelIdentity, ...] | None = None

    def require(self, hello: Hello, members: int) -> None:
        """Let a worker in beside ``members`` others.

        Raises:
            RefusedError: it speaks otherwise, has another model, or there are enough.
        """
        if hello.protocol != PROTOCOL:
            older = "worker" if hello.protocol < PROTOCOL else "front"
            raise _refused(
                Refusal.PROTOCOL,
                f"the worker ({hello.version}) speaks protocol {hello.protocol} and the front {PROTOCOL}: "
                f"upgrade the {older}",
            )
        self._require_models(hello)
        if members >= self._max_workers:
            raise _refused(
                Refusal.FULL,
                f"the front has {members} workers, and takes at most {self._max_workers}: "
                "set remote.max_workers higher, or stop another worker",
            )
        if self._models is None:
            self._models = tuple(offer.model for offer in hello.offers)

    def forget_models(self) -> None:
        """No worker is left: the next one decides anew."""
        self._models = None

    def _require_models(self, hello: Hello) -> None:
        if len(hello.offers) != self._label_sets:
            raise _refused(
                Refusal.MODEL,
                f"the worker has models for {len(hello.offers)} sets of labels and the front asks for "
                f"{self._label_sets}: upgrade the older of the two",
            )
        for place, offer in enumerate(hello.offers):
            if not PassTimes.are_sound(offer.pass_s):
                raise _refused(Refusal.MODEL, f"the worker says impossible pass costs of {offer.model}: start it again")
            if self._models is None:
                continue
            model, seen = offer.model, self._models[place]
            if (model.weights_digest, model.image_size_px) != (seen.weights_digest, seen.image_size_px):
                raise _refused(
                    Refusal.MODEL,
                    f"the worker has {_shown(model)}, and the first worker of this front had {_shown(seen)}: "
                    "give all workers the same model (--model), or restart the front to change it",
                )


def unique_name(owner: str, name: str, taken: Collection[str]) -> str:
    """``owner/name``, with a number behind it where another member has that name."""
    whole, number = f"{owner}/{name}", 1
    unique = whole
    while unique in taken:
        number += 1
        unique = f"{whole}-{number}"
    return unique


def _shown(model: ModelIdentity) -> str:
    return f"{model.name} with weights {model.weights_digest[:12]} at {model.image_size_px} px"


def _refused(reason: Refusal, message: str) -> RefusedError:
    return RefusedError(Refused(reason, message))
