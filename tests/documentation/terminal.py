"""A terminal in which a reader follows a page: gives its commands in order, and sees what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.documentation.pages import ROOT, Fence

TIMEOUT_S = 240

# What is shown of a command that ends with another code than 0.
_NOT_DONE = {
    "nothing was imported",
    "to purge them, run the same command with --purge",
    "to remove what was rejected, run the same command with --on-reject purge",
    "to purge them, give --purge in the place of --report",
}

# The first digits alone, which a table shows, are no identifier that a command takes.
_SHORTENED_CHARACTERS = 8

_IDENTIFIER = re.compile(r"[0-9a-f]{8}(?:[0-9a-f]+|-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?")
_VARIES = re.compile(rf"(?P<identifier>{_IDENTIFIER.pattern})|[-+]?\d[\d,.:%+-]*|\s+")


@dataclass
class Terminal:
    """A shell in a folder of its own.

    Attributes:
        folder: the working directory.
        environment: beside that of the tests.
        means: what a reader puts in the place of the page's example: a secret, a name, an identifier. Identifiers that
            the page shows in an output are added as the command prints others.
    """

    folder: Path
    environment: Mapping[str, str]
    means: dict[str, str] = field(default_factory=dict)

    def follow(self, followed: Iterable[Fence]) -> None:
        """Give the commands; each must succeed, and print what the page shows but for numbers and identifiers.

        Raises:
            AssertionError: a command failed, or printed something else.
        """
        for fence in followed:
            for command, shown in fence.steps():
                printed = self.give(command, is_wrong=not _NOT_DONE.isdisjoint(shown))
                if fence.kind == "console":
                    self._compare(shown, printed, fence)

    def give(self, command: str, *, is_wrong: bool = False) -> list[str]:
        """The lines that a command prints.

        Raises:
            AssertionError: it failed, or did not although it ``is_wrong``.
        """
        for example, own in self.means.items():
            command = command.replace(example, own)
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "COLUMNS": "200",
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert (result.returncode != 0) == is_wrong, f"{command}\n{result.stdout}"
        return result.stdout.splitlines()

    def _compare(self, shown: Sequence[str], printed: Sequence[str], fence: Fence) -> None:
        assert [_masked(line) for line in printed] == [_masked(line) for line in shown], f"{fence}:\n" + "\n".join(
            printed
        )
        for example, own in zip(map(_identifiers, shown), map(_identifiers, printed), strict=True):
            pairs = zip(example, own, strict=True)
            self.means |= {known: real for known, real in pairs if len(known) > _SHORTENED_CHARACTERS}


def _masked(line: str) -> str:
    """A line without what differs from one installation to the next."""
    return _VARIES.sub(lambda match: "#" if match[0].strip() else " ", line).strip()


def _identifiers(line: str) -> list[str]:
    return [each["identifier"] for each in _VARIES.finditer(line) if each["identifier"]]
