"""Digests of a body beside its sha256, for the entries of lists that others publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from serve_app.domain.lists import FingerprintType

_ALGORITHMS: Final = {FingerprintType.SHA1: hashlib.sha1, FingerprintType.MD5: hashlib.md5}

OTHER_DIGESTS: Final = tuple(_ALGORITHMS)

Digests = Mapping[FingerprintType, bytes]
"""The digests of one body, as far as they are known."""


def digests_of(content: bytes, types: Iterable[FingerprintType]) -> Digests:
    """Some of :data:`OTHER_DIGESTS`; a megabyte takes milliseconds."""
    return {type_: _ALGORITHMS[type_](content, usedforsecurity=False).digest() for type_ in types}
