"""docs/install-lemmy-ansible.md: its YAML is right, fits our compose file, and does what the page says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from serve_app.cli.local_service import SECRETS_ENV, store_url, stored_secret
from serve_app.cli.serve_file import HTTP_OPTIONS
from serve_app.database.location import locate
from serve_app.host.state_folder import STATE_ENV
from serve_app.http.neighbours import TRUST_MY_ADDRESS
from serve_app.wire import SCAN_PATH
from tests.documentation.pages import ROOT, fences
from tests.unit.compose.documents import compose, environment_of_images, example_environment

PAGE = "docs/install-lemmy-ansible.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
OURS = compose(example_environment())
SCHEMA = json.loads(Path(__file__).with_name("compose-spec.json").read_text("utf-8"))

URL = "PICTRS__MEDIA__EXTERNAL_VALIDATION"
TIMEOUT = f"{URL}_TIMEOUT"

OVERRIDE, VARS_BEFORE, VARS, TEMPLATE_BEFORE, TEMPLATE, SAMPLE_BEFORE, SAMPLE = (
    yaml.safe_load(fence.body) for fence in fences(PAGE) if fence.kind == "yaml"
)


def environment_of_pictrs(document: dict[str, Any]) -> dict[str, str]:
    return dict(each.split("=", 1) for each in document["services"]["pictrs"]["environment"])


def deployed(variables: dict[str, Any]) -> list[str]:
    """The lines that lemmy-ansible's template makes of ``pictrs_env_vars``: one per key."""
    return [f"{name}={value}" for each in variables["pictrs_env_vars"] for name, value in each.items()]


@pytest.mark.parametrize("document", [OVERRIDE, TEMPLATE_BEFORE, TEMPLATE, SAMPLE_BEFORE, SAMPLE])
def test_each_part_of_a_compose_file_is_what_the_published_schema_asks_for(document: dict[str, Any]) -> None:
    errors = validator_for(SCHEMA)(SCHEMA).iter_errors(document)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("document", [TEMPLATE, SAMPLE])
def test_pictrs_is_given_our_address_a_secret_and_our_time(document: dict[str, Any]) -> None:
    address = OURS["services"]["pictwarden"]["networks"]["pictwarden"]["ipv4_address"]
    variables = environment_of_pictrs(document)
    assert variables == {URL: f"http://{address}:{HTTP_OPTIONS['port']}{SCAN_PATH}/SECRET", TIMEOUT: "10"}
    assert f"`{address}`" in TEXT


def test_the_variables_of_the_inventory_become_the_part_of_the_template() -> None:
    assert deployed(VARS) == TEMPLATE["services"]["pictrs"]["environment"]
    assert (VARS_BEFORE["pictrs_safety"], VARS["pictrs_safety"]) == (True, False)
    assert set(TEMPLATE["services"]) == {"pictrs"}


@pytest.mark.parametrize("document", [OVERRIDE, SAMPLE])
def test_pictrs_joins_our_network_and_stays_in_lemmys(document: dict[str, Any]) -> None:
    name = OURS["networks"]["pictwarden"]["name"]
    assert document["networks"] == {name: {"external": True}}
    assert document["services"]["pictrs"]["networks"] == ["default", name]
    assert set(document["services"]) == {"pictrs"}


def test_before_a_stranger_could_be_let_in_by_address() -> None:
    for document in (TEMPLATE_BEFORE, SAMPLE_BEFORE):
        assert environment_of_pictrs(document)[URL].endswith(f"{SCAN_PATH}/{TRUST_MY_ADDRESS}")
    port = HTTP_OPTIONS["port"]
    assert TEMPLATE_BEFORE["services"]["pictrs-safety"]["ports"] == [f"{port}:{port}"]


def test_its_commands_are_for_the_service_of_the_default_profile() -> None:
    commands = "".join(fence.body for fence in fences(PAGE) if fence.is_of_commands)
    services = re.findall(r"docker compose (?:exec(?: -T)?|logs) (\S+)", commands)
    assert len(services) == 5
    assert set(services) == {"pictwarden"}
    assert OURS["services"]["pictwarden"]["profiles"] == [example_environment()["COMPOSE_PROFILES"]]


def test_the_volumes_that_survive_a_container_are_ours_and_where_it_writes() -> None:
    rows = re.findall(r"^\| `(pictwarden_\w+)` \| `(\S+)` \|", TEXT, re.MULTILINE)
    mounts = dict(mount.split(":")[:2] for mount in OURS["services"]["pictwarden"]["volumes"])
    assert dict(rows) == {f"{OURS['name']}_{volume}": mounts[volume] for volume in OURS["volumes"]}
    assert dict(rows)["pictwarden_ledger"] == environment_of_images()[STATE_ENV]


def test_one_of_them_holds_the_ledger_the_drawn_secret_and_the_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(STATE_ENV, str(tmp_path))
    monkeypatch.delenv(SECRETS_ENV, raising=False)
    assert stored_secret() == stored_secret(), "the container that replaces one draws none"
    location = locate(None)
    url = store_url("http://10.113.51.2:14051/api/v1/scan/SECRET")
    assert location is not None
    assert location.file is not None
    assert url is not None
    assert {location.file.parent, url.parent} == {tmp_path}
    (row,) = re.findall(r"^\| `pictwarden_ledger` .*$", TEXT, re.MULTILINE)
    assert all(
        f"`{name}`" in row for name in (location.file.name, url.name, *(each.name for each in tmp_path.iterdir()))
    )
