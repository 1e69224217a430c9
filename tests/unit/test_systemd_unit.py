"""examples/systemd: systemd knows every option, and what the units say of the commands holds."""

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

from serve_app.cli.launch.serving import STOP_LIMIT_S
from serve_app.cli.launch.working import STOP_LIMIT_S as WORKER_STOP_LIMIT_S
from serve_app.cli.main import app

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "examples" / "systemd" / "pictwarden.service"
STORAGE_UNIT = UNIT.with_name("pictwarden-storage.service")
WORKER_UNIT = UNIT.with_name("pictwarden-worker.service")
UNITS = pytest.mark.parametrize("unit", [UNIT, STORAGE_UNIT, WORKER_UNIT], ids=lambda unit: unit.stem)
SECURITY_PAGE = ROOT / "docs" / "security.md"

# After STOP_LIMIT_S the process kills its children, and gives itself this much more.
GRACE_S = 5.0


def read(unit: Path) -> configparser.ConfigParser:
    """Its sections; the parser refuses an option that is given twice."""
    sections = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    sections.optionxform = str  # type: ignore[assignment,method-assign]
    sections.read_string(unit.read_text("utf-8"))
    return sections


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    return read(UNIT)["Service"]


@pytest.fixture(scope="module")
def scan() -> configparser.SectionProxy:
    return read(STORAGE_UNIT)["Service"]


@pytest.fixture(scope="module")
def worker() -> configparser.SectionProxy:
    return read(WORKER_UNIT)["Service"]


def seconds(span: str) -> float:
    """systemd's spelling of a time with one unit."""
    number, unit = re.fullmatch(r"(\d+)(s|min)", span).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "min": 60}[unit]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
@pytest.mark.parametrize("of_optional", ["#", ""], ids=["as it is", "with every optional line"])
@UNITS
def test_systemd_finds_nothing_wrong(tmp_path: Path, unit: Path, of_optional: str) -> None:
    # It also asks whether the command is there, which it is in an installation.
    installed = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text("utf-8"))
    installed = re.sub(r"(?m)^#(?=[A-Z][A-Za-z]+=)", of_optional, installed)
    copy = tmp_path / unit.name
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


@UNITS
def test_no_picture_is_written_to_swap_or_in_a_core(unit: Path) -> None:
    section = read(unit)["Service"]
    assert (section["MemorySwapMax"], section["LimitCORE"]) == ("0", "1")


@UNITS
def test_it_starts_with_the_machine_and_without_the_optional_file(unit: Path) -> None:
    sections = read(unit)
    assert sections["Install"]["WantedBy"] == "multi-user.target"
    assert sections["Service"]["EnvironmentFile"].startswith("-")


def test_the_scan_of_a_storage_goes_on_until_it_is_ended(scan: configparser.SectionProxy) -> None:
    command, group, name, *options = shlex.split(scan["ExecStart"])
    assert Path(command).name == "pictwarden"
    known = get_command(app).commands[group].commands[name]  # type: ignore[attr-defined]
    context = known.make_context(name, options)
    assert context.params["watch"]
    assert context.params["config"] == Path("/etc/pictwarden/serve_config.yaml")
    assert scan["Restart"] == "on-failure"


def test_the_scan_of_a_storage_has_the_user_and_the_folder_of_the_service(
    service: configparser.SectionProxy, scan: configparser.SectionProxy
) -> None:
    # Without User=, systemd names the dynamic user as the unit.
    assert "User" not in service
    assert scan["User"] == UNIT.stem
    for option in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "UMask", "WorkingDirectory"):
        assert scan[option] == service[option]


@pytest.mark.parametrize("other", [STORAGE_UNIT, WORKER_UNIT], ids=lambda unit: unit.stem)
def test_the_others_are_confined_as_the_service_is(service: configparser.SectionProxy, other: Path) -> None:
    kinds = r"NoNew|Capab|Ambient|Protect|Private|Lock|Restrict(?!Prevent)|SystemCall(?!Filter)"
    confinement = [option for option in service if re.match(kinds, option)]
    assert len(confinement) > 15
    section = read(other)["Service"]
    if other == WORKER_UNIT:
        confinement.remove("PrivateDevices")  # it hides the GPU
        assert "\n#PrivateDevices=yes\n" in other.read_text("utf-8")
    assert {option: section[option] for option in confinement} == {option: service[option] for option in confinement}


@pytest.mark.parametrize("unit", [UNIT, WORKER_UNIT], ids=lambda unit: unit.stem)
def test_what_it_writes_has_a_place(unit: Path) -> None:
    section = read(unit)["Service"]
    assert (section["ProtectSystem"], section["DynamicUser"]) == ("strict", "yes")
    assert section["CacheDirectoryMode"] == "0700"
    assert section["CacheDirectory"] in section["Environment"]
    assert "XDG_CACHE_HOME=" in section["Environment"], "serve_app/models/openvino/cache.py asks for it"


def test_the_ledger_has_a_place(service: configparser.SectionProxy) -> None:
    assert (service["StateDirectory"], service["StateDirectoryMode"]) == ("pictwarden", "0700")


def test_a_worker_keeps_nothing_but_models_and_reads_its_secret_from_systemd(worker: configparser.SectionProxy) -> None:
    assert "StateDirectory" not in worker
    command, name, *options = shlex.split(worker["ExecStart"])
    assert Path(command).name == "pictwarden"
    known = get_command(app).commands[name]  # type: ignore[attr-defined]
    context = known.make_context(name, options)
    credential = worker["LoadCredential"].partition(":")[0]
    assert context.params["secret_file"] == Path("${CREDENTIALS_DIRECTORY}") / credential
    assert context.params["url"].startswith("https://")


def test_a_worker_is_started_again_unless_an_option_is_wrong(worker: configparser.SectionProxy) -> None:
    assert (worker["Type"], worker["Restart"], worker["RestartPreventExitStatus"]) == ("notify", "on-failure", "2")
    assert seconds(worker["TimeoutStopSec"]) > WORKER_STOP_LIMIT_S + GRACE_S
    assert (worker["WatchdogSignal"], worker["LimitCORE"]) == ("SIGKILL", "1")


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
