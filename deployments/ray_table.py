"""A table that all nodes share, for the little that one replica or version leaves for another."""

from __future__ import annotations

from typing import Protocol


class Table(Protocol):
    """A table that all nodes share."""

    def put_if_absent(self, key: str, value: str) -> str | None:
        """Put ``value`` where there is none: the value that was there."""
        ...

    def replace(self, key: str, value: str) -> None:
        """Put ``value``, whatever there was."""
        ...


class RayTable:
    """Ray's table for the programs of a cluster, which lives as long as the head node."""

    def put_if_absent(self, key: str, value: str) -> str | None:
        """See :class:`Table`."""
        from ray.experimental import internal_kv

        name = f"pictwarden:{key}".encode()
        if not internal_kv._internal_kv_put(name, value.encode(), overwrite=False):  # noqa: SLF001 - no public one
            return None
        known = internal_kv._internal_kv_get(name)  # noqa: SLF001 - Ray has no public name for it
        return None if known is None else str(known.decode())

    def replace(self, key: str, value: str) -> None:
        """See :class:`Table`."""
        from ray.experimental import internal_kv

        internal_kv._internal_kv_put(f"pictwarden:{key}".encode(), value.encode(), overwrite=True)  # noqa: SLF001 - as above
