"""Detection: the probabilities of a classifier for pictures about which somebody else decides.

Such pictures go the way of all others, up to their label scores: the same room, stages, lanes and deadline. Nothing is
judged, recalled or recorded, since no decision is made here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.domain import Body, Call, Deadline, Examination, Examiner, UnavailableError, UnscannedError
from serve_app.logs import EventLogger
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.time_limit import until

logger = EventLogger(__name__)

_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Detection:
    """The probabilities of the outputs that were asked for, in their order, for a picture of this media type."""

    media_type: str
    probabilities: tuple[float, ...]


class Detector:
    """Looks at pictures with one classifier. One instance serves many requests at once."""

    def __init__(
        self,
        examiner: Examiner,
        admission: AdmissionControl,
        outputs: Sequence[str],
        severe_outputs: Sequence[str],
    ) -> None:
        """Over the stages and the room that it shares with the moderator.

        Args:
            examiner: scores ``outputs``.
            admission: counts the pictures inside.
            outputs: those that are asked for.
            severe_outputs: those of ``outputs`` by which one of several views is chosen.
        """
        self._examiner = examiner
        self._admission = admission
        self._outputs = len(outputs)
        self._severe = [outputs.index(each) for each in severe_outputs]

    @property
    def is_full(self) -> bool:
        """Whether there is no room for a picture now."""
        return self._admission.is_full

    def require_room(self, pictures: int = 1) -> None:
        """See :meth:`serve_app.moderation.admission.AdmissionControl.require_room`."""
        self._admission.require_room(pictures)

    def arriving(self) -> contextlib.AbstractContextManager[None]:
        """A body is being read, and takes room, until the block ends."""
        return self._admission.inside()

    async def ready(self, deadline: Deadline) -> None:
        """Wait until a model is warm.

        Raises:
            NotScannedError: none was, within the deadline.
        """
        await self._examiner.identify(deadline)

    async def detect(self, body: Body, call: Call) -> Detection:
        """What the classifier says about one picture; the call's deadline is kept, whatever hangs.

        Raises:
            UnscannedError: it could not be looked at.
        """
        try:
            async with until(call.deadline, "scanning"):
                with self._admission.examining():
                    examination = await self._examiner.examine(body, call)
                return Detection(examination.media_type, self._probabilities(examination))
        except UnscannedError:
            raise
        except Exception as error:
            # A fault of ours is not the picture's.
            logger.exception("detecting_failed", "detecting failed", request_id=call.request_id)
            raise UnavailableError("internal fault: see the log under this request_id") from error

    def _probabilities(self, examination: Examination) -> tuple[float, ...]:
        """Those of the view that shows the whole picture.

        An animation has several, and so has a picture that programs show in different ways: the one counts in which a
        severe output is highest.
        """
        values = examination.scores.values
        if values.shape != (len(examination.places), self._outputs):
            raise UnavailableError("the scorer scores other labels: it is being replaced")
        whole = values[[place.box == _WHOLE for place in examination.places]]
        if not len(whole) or not np.isfinite(whole).all():
            raise UnavailableError("the classifier gave no probabilities")
        worst = whole[:, self._severe].max(axis=1).argmax()
        return tuple(float(each) for each in whole[worst])
