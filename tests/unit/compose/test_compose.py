"""examples/compose: Compose takes the file, pict-rs alone reaches the service, and it writes where it may."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for
from typer.main import get_command

from deployments.run import STOP_LIMIT_S as RAY_STOP_LIMIT_S
from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.cli.launch.serving import STOP_LIMIT_S
from serve_app.cli.main import app
from serve_app.cli.serve_file import HTTP_OPTIONS, read_serve_file
from serve_app.composition.configuration import read_args
from serve_app.host.secret_files import FILE_SUFFIX
from serve_app.pictrs import API_KEY_ENV
from serve_app.settings import parse_settings
from serve_app.settings.presets import PRESETS
from serve_app.wire import SCAN_PATH, WORKER_SECRETS_ENV
from tests.unit.compose.documents import FOLDER, ROOT, compose, environment_of_images, example_environment, stages
from tests.unit.compose.documents import variables as variables_of_compose

EXAMPLE = example_environment()
SERVICES: dict[str, dict[str, Any]] = compose(EXAMPLE)["services"]
SCHEMA = Path(__file__).with_name("compose-spec.json")
CONFIG = "/etc/pictwarden"

# After its limit a service kills its children, and gives itself this much more.
GRACE_S = 5.0

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@pytest.mark.parametrize("environment", [{}, EXAMPLE], ids=["without .env", "with .env.example"])
def test_it_is_what_the_published_schema_asks_for(environment: dict[str, str]) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    errors = validator_for(schema)(schema).iter_errors(compose(environment))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_example_has_the_defaults_and_every_variable_is_read() -> None:
    read = variables_of_compose()
    # Compose reads the first by itself.
    assert set(EXAMPLE) == {"COMPOSE_PROFILES", *read}
    assert {name: EXAMPLE[name] for name in read} == read


def test_each_profile_is_one_service_and_the_example_chooses_one() -> None:
    profiles = [profile for service in SERVICES.values() for profile in service["profiles"]]
    assert sorted(profiles) == ["cpu", "gpu", "ray"]
    assert EXAMPLE["COMPOSE_PROFILES"] == "cpu"


def test_the_guide_ends_a_profile_before_another_one_takes_its_address() -> None:
    """Compose leaves the container of a profile that .env does not name any more, and all have one address."""
    assert len({service["networks"]["pictwarden"]["ipv4_address"] for service in SERVICES.values()}) == 1
    guide = (ROOT / "docs" / "install-compose.md").read_text("utf-8")
    section = guide.partition("## Another preset, a GPU, Ray Serve")[2]
    assert "```sh\ndocker compose down\n```" in section.partition("| `COMPOSE_PROFILES` |")[0]
    (comment,) = re.findall(r"((?:#.*\n)+)COMPOSE_PROFILES=", (FOLDER / ".env.example").read_text("utf-8"))
    assert "`docker compose down` before" in comment


def test_the_guide_has_the_memory_of_each_profile_that_needs_more_than_the_default() -> None:
    (comment,) = re.findall(r"((?:#.*\n)+)PICTWARDEN_MEMORY=", (FOLDER / ".env.example").read_text("utf-8"))
    guide = (ROOT / "docs" / "install-compose.md").read_text("utf-8")
    for profile in ("gpu", "ray"):
        (row,) = re.findall(rf"(?m)^\| `{profile}` \| `.*PICTWARDEN_MEMORY=.*$", guide)
        (needed,) = re.findall(r"PICTWARDEN_MEMORY=(\d+g)", row)
        assert f"{profile}: {needed}." in comment
        assert int(needed[:-1]) > int(EXAMPLE["PICTWARDEN_MEMORY"][:-1])


@each_service
def test_nothing_is_published(service: dict[str, Any]) -> None:
    assert {"ports", "expose", "network_mode", "privileged", "cap_add", "devices", "pid", "ipc"}.isdisjoint(service)


@each_service
def test_it_may_do_no_more_than_it_needs(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == service["memswap_limit"], "swap would write pictures to a disk"
    assert "user" not in service, "the image has one"


@each_service
def test_its_address_is_its_own(service: dict[str, Any]) -> None:
    """pict-rs does not take a name, and Docker gives no other container this address while the service is down."""
    (pool,) = compose(EXAMPLE)["networks"]["pictwarden"]["ipam"]["config"]
    network, dynamic, gateway = ip_network(pool["subnet"]), ip_network(pool["ip_range"]), ip_address(pool["gateway"])
    address = ip_address(service["networks"]["pictwarden"]["ipv4_address"])
    assert address in network
    assert address not in (gateway, network.network_address, network.broadcast_address)
    assert gateway in network
    assert dynamic.subnet_of(network)  # type: ignore[arg-type]
    assert address not in dynamic
    assert network.is_private
    assert service["command"][-2:] == ["--host", str(address)]


def test_the_network_of_pictrs_has_no_way_out() -> None:
    networks = compose(EXAMPLE)["networks"]
    assert networks["pictwarden"]["internal"] is True
    assert list(SERVICES["pictwarden"]["networks"]) == ["pictwarden"]
    assert {name for service in SERVICES.values() for name in service["networks"]} == set(networks)


@each_service
def test_what_it_writes_has_a_volume_with_a_name(service: dict[str, Any]) -> None:
    mounts = dict(mount.split(":")[:2] for mount in service["volumes"])
    environment = environment_of_images()
    places = {target: source for source, target in mounts.items()}
    assert places[environment["STATE_DIRECTORY"]] == "ledger"
    assert places[environment["XDG_CACHE_HOME"]] == "weights"
    assert {source for source in mounts if not source.startswith("./")} == set(compose(EXAMPLE)["volumes"])
    assert service["tmpfs"][0].startswith("/tmp:size=")


@each_service
def test_it_has_the_time_to_answer_the_pictures_inside(service: dict[str, Any]) -> None:
    limit_s = RAY_STOP_LIMIT_S if "deployments.run" in service["command"] else STOP_LIMIT_S
    assert float(service["stop_grace_period"].removesuffix("s")) > limit_s + GRACE_S
    assert service["init"] is True


@each_service
def test_its_image_is_a_target_of_the_dockerfile(service: dict[str, Any]) -> None:
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT
    target = service["build"]["target"]
    assert stages()[target] == "runtime"
    assert service["image"] == f"pictwarden:{target}"


@each_service
def test_its_variables_are_those_that_the_service_reads(service: dict[str, Any]) -> None:
    names = (ADMIN_SECRETS_ENV, API_KEY_ENV, WORKER_SECRETS_ENV, parse_settings({}).notices.urls_env)
    assert set(service["environment"]) == {f"{name}{FILE_SUFFIX}" for name in names}
    assert "./secrets:/run/secrets:ro,z" in service["volumes"]


def test_no_secret_is_in_git() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/examples/compose/.env", "/examples/compose/secrets/"} <= set(ignored)


@each_service
def test_its_settings_are_right(service: dict[str, Any]) -> None:
    command = service["command"]
    file = PurePosixPath(command[command.index("--config") + 1])
    assert f"./config:{CONFIG}:ro,z" in service["volumes"]
    config = read_serve_file(FOLDER / "config" / file.relative_to(CONFIG))
    args = config["applications"][0]["args"]
    settings, *_ = read_args(args)
    assert settings.preset in PRESETS
    assert settings.pictrs.url == "http://pictrs:8080"
    # What is not set in the profile of one process is the default that serve_config.yaml explains.
    assert set(args) <= set(parse_settings({}).model_dump())


def test_the_command_of_one_process_has_its_options() -> None:
    for name in ("pictwarden", "pictwarden-gpu"):
        command, *options = SERVICES[name]["command"]
        get_command(app).commands[command].make_context(command, list(options))  # type: ignore[attr-defined]


def test_the_lines_for_lemmys_file_fit() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    added = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[0])
    name = compose(EXAMPLE)["networks"]["pictwarden"]["name"]
    assert added["networks"] == {name: {"external": True}}
    pictrs = added["services"]["pictrs"]
    assert pictrs["networks"] == ["default", name]
    variables = dict(each.split("=", 1) for each in pictrs["environment"])
    address = SERVICES["pictwarden"]["networks"]["pictwarden"]["ipv4_address"]
    root = f"http://{address}:{HTTP_OPTIONS['port']}"
    assert variables["PICTRS__MEDIA__EXTERNAL_VALIDATION"].startswith(f"{root}{SCAN_PATH}/")
    assert int(variables["PICTRS__MEDIA__EXTERNAL_VALIDATION_TIMEOUT"]) == 10
