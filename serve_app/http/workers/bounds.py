"""Bounds of what a worker says, before it stands in log lines, decisions and answers."""

from __future__ import annotations

import re
from typing import Final

from serve_app.domain import MalformedRequestError
from serve_app.remote.fleet import RefusedError
from serve_app.remote.messages import Failed, FromWorker, Hello, Refusal, Refused

# Models have some hundred bytes each.
_MOST_HELLO_BYTES: Final = 64 * 1024
MOST_TEXT: Final = 200
"""Characters of a name, a version or a device, and of what a log line quotes."""
_MOST_MODEL_TEXT: Final = 1000
"""Of the name of several models together, and of their notices."""

_SPARE_MESSAGES: Final = 64
_MESSAGES_FOR_EACH: Final = 4
"""That the front has sent: one answers it, and an older version may say so twice."""

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")

_MOST_DECODERS: Final = 1024

# Of views: the fake engine's are the smallest.
_SIZES_PX: Final = range(4, 1025)


def require_few(received: int, sent: int) -> None:
    """Return if a worker may have said so many messages, the front having ``sent`` so many.

    Raises:
        RefusedError: it says more than it is asked, and each costs the front's time.
    """
    if received > _SPARE_MESSAGES + _MESSAGES_FOR_EACH * sent:
        text = f"the worker sent {received} messages where {sent} were sent to it: upgrade the worker"
        raise RefusedError(Refused(Refusal.SUSPENDED, text))


def require_small(hello: Hello, frame_bytes: int) -> None:
    """Return if ``hello``, a frame of ``frame_bytes``, may be a worker's.

    Raises:
        MalformedRequestError: a text is too long or cannot be printed, or a number or a digest cannot be.
    """
    models = [model for offer in hello.offers for model in (offer.model, *offer.model.each)]
    notices = [model.notice for model in models if model.notice is not None]
    texts = (hello.name, hello.version, hello.device, hello.process)
    of_models = (*notices, *(model.name for model in models))
    is_long = max(map(len, texts)) > MOST_TEXT or max(map(len, of_models), default=0) > _MOST_MODEL_TEXT
    if frame_bytes > _MOST_HELLO_BYTES or is_long or not all(map(str.isprintable, (*texts, *of_models))):
        raise MalformedRequestError("Hello: a text that is too long, or cannot be printed")
    if any(model.image_size_px not in _SIZES_PX for model in models):
        raise MalformedRequestError("Hello: a model has views of a size that no model has")
    if not 0 <= hello.decoders <= _MOST_DECODERS:
        raise MalformedRequestError(f"Hello: {hello.decoders} decoders")
    digests = [each for model in models for each in (model.digest, model.derived_from) if each is not None]
    if any(_DIGEST.fullmatch(each) is None for each in digests):
        raise MalformedRequestError("Hello: a digest of a model is 64 hexadecimal digits")
    if not hello.name or any(each.isspace() for each in hello.name):
        raise MalformedRequestError(f"Hello: {hello.name!r} is no name: it has characters, and no white space")


def require_short(message: FromWorker) -> None:
    """Return if the text of a message, where it has one, may be a worker's.

    Raises:
        MalformedRequestError: it is too long, or cannot be printed.
    """
    if isinstance(message, Failed) and not (len(message.message) <= MOST_TEXT * 5 and message.message.isprintable()):
        raise MalformedRequestError("Failed: a text that is too long, or cannot be printed")
