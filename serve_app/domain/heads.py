"""The labels of heads: linear classifiers over the embedding of a policy's model, which ``pictwarden train`` makes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serve_app.domain.classifiers import output_of

HEAD_DIGEST_CHARS: Final = 12
"""Characters of the digest of a head's file in its label, and at least in a policy."""

_LABEL = re.compile(rf"head/[a-z][a-z0-9_]{{0,63}}@[0-9a-f]{{{HEAD_DIGEST_CHARS}}}")


@dataclass(frozen=True, slots=True)
class HeadFile:
    """Where a head is, and its sha256 (hex), or at least the first :data:`HEAD_DIGEST_CHARS` characters of that."""

    file: Path
    digest: str


def head_label(name: str, digest: str) -> str:
    """The label under which a head is scored and recorded: another file is another label."""
    return f"head/{name}@{digest[:HEAD_DIGEST_CHARS].lower()}"


def head_digest(label: str) -> str:
    """The first :data:`HEAD_DIGEST_CHARS` characters of the digest of the file of the head with this label."""
    return label.rpartition("@")[2]


def is_head(label: str) -> bool:
    """Whether ``label`` is that of a head."""
    return _LABEL.fullmatch(label) is not None


def is_prompt(label: str) -> bool:
    """Whether ``label`` is a text for the model, and neither a head nor a classifier's output."""
    return output_of(label) is None and not is_head(label)
