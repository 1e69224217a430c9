"""Every command of the documentation's fences is run by a test, or stands in the table of those that are not.

Each line counts by itself: one that is run says nothing of its neighbours. Whether the options exist of a line that is
run elsewhere with others, test_commands_exist.py says.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass

import pytest

from tests.documentation.pages import PAGES, ROOT, commands_of, fences

FOLLOWED = {
    "docs/accuracy.md": "tests/documentation/test_sessions.py",
    "docs/calibration.md": "tests/documentation/test_sessions.py",
    "docs/decisions.md": "tests/documentation/test_sessions.py",
    "docs/misskey.md": "tests/serve/test_misskey.py",
    "docs/notices.md": "tests/contract/notices/test_command.py",
    "docs/storage.md": "tests/documentation/test_sessions.py",
    "docs/training.md": "tests/documentation/test_sessions.py",
    "docs/tuning.md": "tests/documentation/test_tuning.py",
}
"""Pages whose every line a test reads and gives, and the file with that test."""


@dataclass(frozen=True)
class Run:
    """Where a test runs a command.

    Attributes:
        file: relative to the repository.
        words: of the command, as the file has them.
    """

    file: str
    words: str


ELSEWHERE = {
    "make lint": Run(".ci/run", "make lint"),
    "make test": Run(".ci/run", "make test"),
    "make run": Run("tests/serve/test_serve_config.py", 'target="run"'),
    "make serve": Run("tests/documentation/test_sessions.py", 'target="serve"'),
    "make pin-images": Run("tests/unit/tools/test_pins.py", "--torch-index"),
    **dict.fromkeys(
        ("cp .env.example .env", "mkdir --parents secrets", 'echo "alice:', "chown -R 10001 secrets"),
        Run("tests/documentation/test_compose_files.py", 'commands_of("docs/install-compose.md")'),
    ),
    **dict.fromkeys(
        (
            *("cp -r examples/kuberay", "mkdir -m 700 secrets", "kubectl kustomize"),
            *("printf 'PICTWARDEN_SECRETS", "printf 'auth_token", "printf 'password"),
        ),
        Run("tests/unit/kuberay/conftest.py", 'commands_of("docs/kuberay.md")'),
    ),
    'grep "request $ID" service.log': Run("tests/documentation/test_sessions.py", "in_text"),
    **dict.fromkeys(
        ('jq -c --arg id "$ID"', """grep -h '^{' "$LOGS"/"""),
        Run("tests/serve/test_logs_and_traces.py", "of_ray if way == RAY else of_one_process"),
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT= pictwarden serve": Run(
        "tests/serve/test_logs_and_traces.py", "collector.environment"
    ),
    "pictwarden model compare": Run("tests/unit/cli/models/test_model_compare.py", '"model", "compare"'),
    "pictwarden model convert": Run("tests/unit/cli/models/test_model_convert.py", '"model", "convert"'),
    "pictwarden model fetch": Run("tests/unit/cli/models/test_model_fetch.py", '"model", "fetch"'),
    "pictwarden rescan": Run("tests/e2e/pictrs/test_rescan.py", '"serve_app.cli", "rescan"'),
    "pictwarden worker": Run("tests/unit/cli/launch/test_working.py", '"worker"'),
    "pictwarden serve": Run("tests/serve/conftest.py", '"serve_app.cli", "serve"'),
    "pictwarden policy from-horde-safety": Run("tests/unit/cli/policy/test_policies.py", 'policy("from-horde-safety")'),
}
"""The beginning of a line without paths, and where it runs: maybe with other options, or a stand-in for a registry."""

DOCKER = "needs a Docker engine: tests/e2e/image gives the container the same commands, started as compose.yaml says"
NETWORK = "downloads from a package index, some of them gigabytes"

UNRUN = {
    **dict.fromkeys(
        (
            'eval "$(python -m deployments',
            "export RAY_AUTH_TOKEN",
            "export PICTWARDEN_SECRETS",
            "ray start",
            "serve deploy",
        ),
        "tests/serve/test_nodes.py starts nodes by `ray start`, with other options and without these lines",
    ),
    **dict.fromkeys(("docker compose", "docker run"), DOCKER),
    **dict.fromkeys(("kubectl apply", "kubectl -n pictwarden get"), "needs a Kubernetes cluster"),
    "git pull": "needs a newer commit at the place of the clone",
    "pip install --require-hashes": f"{NETWORK}; `make test` installs another lock in the same way",
    "pip install --no-deps": "replaces the installation that the tests run in; the Dockerfile does the same",
    "python -m pip install -e": NETWORK,
    "python3 -m venv .venv-peers": "for the next line alone",
    "uv pip install --python .venv-peers/bin/python": NETWORK,
    "uv venv horde": f"{NETWORK}, and horde-safety is licensed under the AGPL: `make parity` installs it by hand",
}
"""The beginning of a line without paths, and why no test runs it."""

_PATH_OF_PROGRAM = re.compile(r"^((?:\w+=\S* )*)\S+/bin/")
_VALUES = re.compile(r"^(\w+)=\S*(?= )")


def plain(line: str) -> str:
    """A line without the folder of its program, and without the value of a variable that it begins with."""
    return _VALUES.sub(r"\1=", _PATH_OF_PROGRAM.sub(r"\1", line))


OTHERS = [
    (str(fence), line)
    for page in PAGES
    if page not in FOLLOWED
    for fence in commands_of(page)
    for line in fence.lines()
]


def test_no_fence_of_another_kind_hides_a_command() -> None:
    programs = {plain(line).split()[0] for _, line in OTHERS}
    hidden = [
        str(fence)
        for page in PAGES
        for fence in fences(page)
        if fence.kind == "text" and programs & {line.split(" ")[0] for line in fence.body.splitlines()}
    ]
    assert hidden == []


def test_every_line_is_run_or_stands_in_the_table_of_those_that_are_not() -> None:
    known = (*ELSEWHERE, *UNRUN)
    assert [each for each in OTHERS if not plain(each[1]).startswith(known)] == []


@pytest.mark.parametrize("beginning", [*ELSEWHERE, *UNRUN])
def test_a_row_of_a_table_is_of_a_line_that_there_is(beginning: str) -> None:
    assert any(plain(line).startswith(beginning) for _, line in OTHERS)


@pytest.mark.parametrize("beginning", ELSEWHERE)
def test_the_file_that_is_named_has_the_words_of_the_command(beginning: str) -> None:
    run = ELSEWHERE[beginning]
    assert run.words in (ROOT / run.file).read_text("utf-8")


@pytest.mark.parametrize("line", sorted({line for _, line in OTHERS if line.startswith("make ")}))
def test_make_would_run_the_line_with_its_arguments(line: str) -> None:
    command, *words = shlex.split(line)
    done = subprocess.run(
        [command, "--dry-run", f"--directory={ROOT}", *words], capture_output=True, text=True, timeout=30, check=True
    )
    (arguments,) = [each.removeprefix("ARGS=") for each in words if each.startswith("ARGS=")] or [""]
    assert arguments in done.stdout


@pytest.mark.parametrize("page", FOLLOWED)
def test_the_file_that_is_named_reads_the_commands_of_the_page(page: str) -> None:
    assert re.search(rf'(commands_of|fences)\("{re.escape(page)}"\)', (ROOT / FOLLOWED[page]).read_text("utf-8"))
