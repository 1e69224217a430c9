"""The heads that a front sends: a stranger's bytes, which stay in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from serve_app.domain import ModelError, head_digest, is_head
from serve_app.models.heads import Head, parse_head
from serve_app.remote.messages import Wanted


def sent_heads(wanted: Wanted) -> Mapping[str, Head]:
    """The heads among the labels of a front, by label. What else it sent is left unread.

    Raises:
        ModelError: one is missing, another one than its label says, or none at all; or safetensors is not installed.
    """
    labels = dict.fromkeys(label for labels in wanted.label_sets for label in labels if is_head(label))
    return {label: _head(label, wanted.heads.get(label)) for label in labels}


def _head(label: str, content: bytes | None) -> Head:
    if content is None:
        raise ModelError(f"the front wants {label} and did not send it: install the same version of Pictwarden there")
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(head_digest(label)):
        raise ModelError(
            f"the front sent another file for {label}, whose sha256 is {digest}: restart the front, which checks its "
            "heads when it starts"
        )
    return parse_head(content, f"what the front sent for {label}")
