"""How a process loads its command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# A name instead of that of an option of the interpreter, and the modules that are there once the help is shown.
SHOWS_HELP = """
import json, sys
from serve_app.cli.{module} import {start}
sys.argv[0] = "pictwarden"
try:
    {start}()
finally:
    print(json.dumps([*sys.modules]), file=sys.stderr)
"""


def help_of(service: str, module: str, start: str) -> tuple[str, list[str]]:
    """What a process of its own shows, and the modules that it has loaded for it."""
    shows = SHOWS_HELP.format(module=module, start=start)
    ran = subprocess.run(
        [sys.executable, "-c", shows, service, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    modules: list[str] = json.loads(ran.stderr)
    return ran.stdout, modules


@pytest.mark.parametrize("service", ["serve", "worker"])
def test_a_service_is_loaded_without_the_other_commands_and_looks_as_among_them(service: str) -> None:
    text, modules = help_of(service, "running", "run")
    among_others, all_modules = help_of(service, "main", "app")
    assert text == among_others
    assert f"pictwarden {service}" in text
    assert "serve_app.cli.check.checking" in all_modules
    assert "serve_app.cli.main" not in modules
    assert "serve_app.cli.check.checking" not in modules
