"""The one use case: a body of bytes to a decision, under a deadline, over the domain's ports."""

from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.assembly import assemble_moderator
from serve_app.moderation.body_memory import BodyMemory, Reservation
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.pipeline import Pipeline
from serve_app.moderation.sinks import LogSink

__all__ = [
    "AdmissionControl",
    "BodyMemory",
    "LogSink",
    "Moderator",
    "Pipeline",
    "Reservation",
    "assemble_moderator",
]
