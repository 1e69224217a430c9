"""The use cases, over the domain's ports and under a deadline: a picture to a decision, or to probabilities."""

from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.assembly import admission_of, assemble_detector, assemble_moderator, label_sets
from serve_app.moderation.body_memory import BodyMemory, Reservation
from serve_app.moderation.detection import Detection, Detector
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.pipeline import Pipeline
from serve_app.moderation.sinks import LogSink

__all__ = [
    "AdmissionControl",
    "BodyMemory",
    "Detection",
    "Detector",
    "LogSink",
    "Moderator",
    "Pipeline",
    "Reservation",
    "admission_of",
    "assemble_detector",
    "assemble_moderator",
    "label_sets",
]
