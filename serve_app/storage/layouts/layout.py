"""What the name of a file says about it, in the storage of one server software."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udc7f\\udd00-\\udfff]")
"""Control characters, and surrogates but those by which Python writes bytes that are no UTF-8."""


class FileRole(StrEnum):
    """What a file is to the software that stores it."""

    ORIGINAL = "original"
    """Scanned. The software owns it: it is never unlinked from outside."""
    DERIVED = "derived"
    """Not scanned by itself: the software made it from another file, and both are removed together."""
    CACHE = "cache"
    """Scanned. A copy of a file of another server, which may be unlinked: the software replaces it or does without."""
    FOREIGN = "foreign"
    """Not scanned: no media."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The files whose whole name matches.

    Attributes:
        pattern: of the name, relative to the root of the media.
        role: of these files.
        removal: what an admin does so that the software removes the file. ``{url}`` is the name as it stands in a URL;
            ``{id}`` is the number that the group ``partition`` is split from; other fields are groups of the pattern.
        derived_folders: of a cache file, where the versions made from it lie, relative to the folder above its own.
    """

    pattern: re.Pattern[str]
    role: FileRole
    removal: str = ""
    derived_folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """How one software lays out its files.

    Attributes:
        name: in commands.
        software: as its makers write it.
        version: those whose code was read.
        referrers: what else refers to a file, so that unlinking an original would leave it broken.
        rules: the first that matches is taken; a file that none matches is an original.
        removal_of_others: as ``removal`` of a rule, for these.
    """

    name: str
    software: str
    version: str
    referrers: str
    rules: tuple[Rule, ...]
    removal_of_others: str

    def classify(self, name: str) -> FileRole:
        """The role of a file by its name: relative to the root of the media, with ``/`` between the parts.

        A file that the software did not name is an original too: it is scanned, and never unlinked.
        """
        rule, _ = self._rule_of(name)
        return FileRole.ORIGINAL if rule is None else rule.role

    def removal(self, name: str) -> str:
        """What an admin does so that the software removes the file and all that refers to it. Nothing is run.

        Raises:
            ValueError: the name is foreign.
        """
        if self.classify(name) is FileRole.FOREIGN:
            raise ValueError(f"{self.software} has no media by this name: {name!r}")
        rule, fields = self._rule_of(name)
        # Percent-encoded, a name is safe in a terminal and in a shell, and bytes that are no UTF-8 survive.
        fields["url"] = quote(name, errors="surrogateescape" if _is_of_bytes(name) else "replace")
        return (self.removal_of_others if rule is None else rule.removal).format_map(fields)

    def siblings(self, name: str) -> tuple[str, ...]:
        """Prefixes of the files that were made from this cache file, and go with it. Empty for any other role."""
        if self.classify(name) is not FileRole.CACHE:
            return ()
        rule, _ = self._rule_of(name)
        above = name.rsplit("/", 2)[0]
        return () if rule is None else tuple(f"{above}/{folder}/" for folder in rule.derived_folders)

    def _rule_of(self, name: str) -> tuple[Rule | None, dict[str, str]]:
        for rule in () if is_hostile(name) else self.rules:
            if found := rule.pattern.fullmatch(name):
                fields = {group: value or "" for group, value in found.groupdict().items()}
                if "partition" in fields:
                    fields["id"] = fields["partition"].replace("/", "").lstrip("0") or "0"
                return rule, fields
        return None, {}


def _is_of_bytes(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def is_hostile(name: str) -> bool:
    """Whether a name could lead out of the root, or holds what no terminal should be given."""
    return any(part in {"", ".", ".."} for part in name.split("/")) or _UNPRINTABLE.search(name) is not None
