"""Keys of earlier versions: how they are called now, or why they are gone. The one place that knows.

:func:`serve_app.settings.parse_settings` refuses them with what stands here, and ``pictwarden settings upgrade``
rewrites a file by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One key that a version has renamed or removed."""

    since: str
    """The version that knows the key no more."""
    key: str
    """Its path in the args, with dots."""
    new_key: str | None = None
    """What it is called now; None if it is gone."""
    reason: str = ""
    """Why it is gone, and what to do."""

    def __str__(self) -> str:
        what = f"was renamed to {self.new_key}" if self.new_key else "was removed"
        return f"{self.key}: {what} in {self.since}" + (f": {self.reason}" if self.reason else "")


CHANGES: Sequence[Change] = (
    Change("0.2.0", "limits.decode_workers", new_key="decode_workers"),
    Change("0.2.0", "limits.max_views", reason="a still has at most 12 views"),
    Change(
        "0.2.0",
        "model.max_queued_views",
        reason="a scorer refuses pictures by the wait that it predicts; at most 1,024 views wait in any case",
    ),
    Change("0.2.0", "retry_after_s", reason="it is 30 s; pict-rs does not read it"),
    Change(
        "0.2.0",
        "ledger.kept_decisions",
        reason="`ledger: memory` stores the latest 10,000; a database stores all of them for a time",
    ),
    Change(
        "0.2.0",
        "authentication.trust_private_addresses",
        reason="give pict-rs a URL with a secret. If the URL has to stay .../scan/IPADDR, list the networks of pict-rs "
        "as authentication.trusted_networks",
    ),
)


def outdated(args: Mapping[str, Any], changes: Sequence[Change] = CHANGES) -> list[Change]:
    """The keys of earlier versions that ``args`` have."""
    return [change for change in changes if _holder(args, change.key) is not None]


def upgraded(args: Mapping[str, Any], changes: Sequence[Change] = CHANGES) -> dict[str, Any]:
    """``args`` with the keys of this version; a section that is left empty is gone.

    A renamed key whose new name is set as well is dropped: the new one says what is meant.
    """
    result = dict(args)
    for change in outdated(args, changes):
        *sections, name = change.key.split(".")
        value = _own(result, sections).pop(name)
        if change.new_key and not has_key(result, change.new_key):
            *new_sections, new_name = change.new_key.split(".")
            _own(result, new_sections)[new_name] = value
        _drop_if_empty(result, sections)
    return result


def has_key(args: Mapping[str, Any], key: str) -> bool:
    """Whether ``args`` have the key with this path."""
    return _holder(args, key) is not None


def _holder(args: Mapping[str, Any], key: str) -> Any:
    """The mapping with the last part of ``key`` in it, or None."""
    *sections, name = key.split(".")
    inner: Any = args
    for section in sections:
        inner = inner.get(section) if isinstance(inner, Mapping) else None
    return inner if isinstance(inner, Mapping) and name in inner else None


def _own(args: dict[str, Any], sections: Sequence[str]) -> dict[str, Any]:
    """The section below ``args``, copied on the way there; a new one if there is none."""
    inner = args
    for section in sections:
        known = inner.get(section)
        inner[section] = dict(known) if isinstance(known, Mapping) else {}
        inner = inner[section]
    return inner


def _drop_if_empty(args: dict[str, Any], sections: Sequence[str]) -> None:
    for depth in range(len(sections), 0, -1):
        outer = _own(args, sections[: depth - 1])
        if outer[sections[depth - 1]]:
            return
        del outer[sections[depth - 1]]
