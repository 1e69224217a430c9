"""The digests by which a folder of a model is found to be whole."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digests(folder: Path, description: str) -> dict[str, str]:
    """sha256 (hex) of every file of the model but its ``description``, by name."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != description)
    return {file.name: _digest(file) for file in files}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
