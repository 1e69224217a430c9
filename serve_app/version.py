"""The version of this installation."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Pictwarden's, as it was installed; ``unknown`` where it runs from a folder that was not."""
    try:
        return version("pictwarden")
    except PackageNotFoundError:
        return "unknown"
