"""The views that quantising looks at, to learn how large the numbers inside the model become."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelError
from serve_app.models.demo.views import drawn_views

# Part of the name of drawn views. Raise it when other pictures are drawn, so that no model that was quantised
# with the earlier ones is taken for one quantised with these.
_DRAWING_SCHEMA = 1
_SEED = 20_260

VIEW_COUNT = 128
"""Views are enough when more do not change the agreement; time grows with their number (docs/models.md has both)."""


@dataclass(frozen=True, slots=True)
class QuantisationViews:
    """Which views, by a name that tells them from all others; ``photographs`` is None for those that are drawn here."""

    name: str
    photographs: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def drawn(cls) -> QuantisationViews:
        """Shapes and things like photographs, drawn here: nobody's pictures, and no network."""
        return cls(f"drawn-{_DRAWING_SCHEMA}")

    @classmethod
    def of(cls, views: NDArray[np.uint8]) -> QuantisationViews:
        """Views of pictures that somebody gave, uint8, ``(views, size_px, size_px, 3)``; known by their bytes."""
        return cls(f"photographs-{hashlib.sha256(views.tobytes()).hexdigest()[:16]}", views)

    @property
    def is_drawn(self) -> bool:
        """Whether the views can be had again from the name alone."""
        return self.photographs is None and self == QuantisationViews.drawn()

    def views(self, size_px: int) -> NDArray[np.uint8]:
        """uint8, ``(views, size_px, size_px, 3)``, RGB.

        Raises:
            ModelError: they are photographs of which only the name is known.
        """
        if self.photographs is not None:
            return self.photographs
        if not self.is_drawn:
            raise ModelError(f"the views {self.name} to quantise with are not here, and cannot be drawn")
        return np.stack(list(drawn_views(_SEED, VIEW_COUNT, size_px)))
