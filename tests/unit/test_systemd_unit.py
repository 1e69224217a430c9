"""examples/systemd: systemd knows every option, and what the unit says of the command holds."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from serve_app.cli.main import app
from serve_app.cli.serving import STOP_LIMIT_S

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "examples" / "systemd" / "pictwarden.service"
SECURITY_PAGE = ROOT / "docs" / "security.md"

# After STOP_LIMIT_S the process kills its children, and gives itself this much more.
GRACE_S = 5.0


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    """The section with that name; the parser refuses an option that is given twice."""
    unit = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text("utf-8"))
    return unit["Service"]


def seconds(span: str) -> float:
    """systemd's spelling of a time with one unit."""
    number, unit = re.fullmatch(r"(\d+)(s|min)", span).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "min": 60}[unit]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
@pytest.mark.parametrize("of_optional", ["#", ""], ids=["as it is", "with every optional line"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, of_optional: str) -> None:
    # It also asks whether the command is there, which it is in an installation.
    installed = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text("utf-8"))
    installed = re.sub(r"(?m)^#(?=[A-Z][A-Za-z]+=)", of_optional, installed)
    copy = tmp_path / UNIT.name
    copy.write_text(installed, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_its_command_and_the_options_exist(service: configparser.SectionProxy) -> None:
    command, name, *options = shlex.split(service["ExecStart"])
    assert Path(command).name == "pictwarden"
    known = get_command(app).commands[name]  # type: ignore[attr-defined]
    context = known.make_context(name, options)
    assert context.params["config"] == Path("/etc/pictwarden/serve_config.yaml")


def test_it_waits_for_the_end_that_the_command_bounds(service: configparser.SectionProxy) -> None:
    assert seconds(service["TimeoutStopSec"]) > STOP_LIMIT_S + GRACE_S
    assert service["KillMode"] == "mixed", "SIGTERM is for the process that answers, not for its decoders"


def test_a_service_that_fails_or_is_stuck_is_started_again_and_leaves_no_core(
    service: configparser.SectionProxy,
) -> None:
    assert (service["Type"], service["Restart"]) == ("notify", "on-failure")
    assert seconds(service["WatchdogSec"]) > 10, "it is told every second, by an event loop that may be busy"
    assert (service["WatchdogSignal"], service["LimitCORE"]) == ("SIGKILL", "1")


def test_no_picture_is_written_to_swap(service: configparser.SectionProxy) -> None:
    assert service["MemorySwapMax"] == "0"


def test_what_it_writes_has_a_place(service: configparser.SectionProxy) -> None:
    assert (service["ProtectSystem"], service["DynamicUser"]) == ("strict", "yes")
    assert (service["StateDirectory"], service["StateDirectoryMode"]) == ("pictwarden", "0700")
    assert service["CacheDirectory"] in service["Environment"]
    assert "XDG_CACHE_HOME=" in service["Environment"], "serve_app/models/openvino/cache.py asks for it"


def test_files_with_secrets_have_the_group_that_the_page_names() -> None:
    (group,) = re.findall(r"(?m)^#SupplementaryGroups=(.+)$", UNIT.read_text("utf-8"))
    assert f"groupadd --system {group}" in SECURITY_PAGE.read_text("utf-8")


def test_code_that_is_made_while_it_runs_may_run(service: configparser.SectionProxy) -> None:
    assert "MemoryDenyWriteExecute" not in service


def test_the_steps_of_an_upgrade_are_about_its_files(service: configparser.SectionProxy) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    steps = page.partition("**systemd**, as root")[2].partition("**To go back**")[0]
    program, _, _, config = shlex.split(service["ExecStart"])
    assert f"in `{Path(program).parents[2]}`:" in steps
    assert steps.count(f"STATE_DIRECTORY=/var/lib/{service['StateDirectory']} ") == 2
    assert f"settings upgrade {config}`" in steps
    assert steps.index("systemctl stop") < steps.index("git pull") < steps.index("systemctl start")
