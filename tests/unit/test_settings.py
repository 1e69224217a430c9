"""The args of serve_config.yaml: what they are by default, what is refused, and that each one is explained."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from serve_app.domain import OnUnscanned, SettingsError
from serve_app.media import MediaLimits
from serve_app.settings import MAX_DEADLINE_S, Settings, parse_settings

SERVE_CONFIG = Path(__file__).parents[2] / "serve_config.yaml"


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key that holds a value and not a section."""
    for name, described in model.model_fields.items():
        kind = described.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, (*path, name))
        else:
            yield (*path, name)


LEAVES = list(leaves(Settings))
TEXTS = {("policy",), ("model", "source"), ("model", "cache_folder"), ("authentication", "secrets_env")}
TYPED = [leaf for leaf in LEAVES if leaf not in TEXTS]


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


# Values


def test_the_defaults_are_those_of_the_design() -> None:
    settings = parse_settings({})
    assert (settings.deadline_s, settings.on_unscanned) == (8.0, OnUnscanned.REJECT)
    assert (settings.model.source, settings.policy) == ("embedded:demo-shapes", "shipped:demo-red-triangle")
    assert settings.limits.max_body_bytes == 64_000_000
    assert not settings.authentication.trust_private_addresses
    assert settings == Settings()


def test_the_limits_are_by_default_those_of_the_media_room() -> None:
    limits = parse_settings({}).limits
    assert MediaLimits(**{each.name: getattr(limits, each.name) for each in fields(MediaLimits)}) == MediaLimits()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("41MB", 41_000_000), ("40 MiB", 41_943_040), ("500kB", 500_000), (123, 123), ("123", 123)],
)
def test_sizes_are_written_with_their_unit(given: str | int, expected: int) -> None:
    assert parse_settings({"limits": {"max_body_bytes": given}}).limits.max_body_bytes == expected


@pytest.mark.parametrize("deadline_s", [0.05, 8, MAX_DEADLINE_S])
def test_a_deadline_within_the_wall_is_taken(deadline_s: float) -> None:
    assert parse_settings({"deadline_s": deadline_s}).deadline_s == deadline_s


def test_a_section_that_is_given_in_part_keeps_its_other_defaults() -> None:
    settings = parse_settings({"model": {"cpu_threads": 2}})
    assert (settings.model.cpu_threads, settings.model.max_batch_views) == (2, 32)


# Refusals


@pytest.mark.parametrize("path", [("deadline",), ("model", "sauce"), ("limits", "max_bytes"), ("ledger", "dsn")])
def test_an_unknown_key_is_refused_by_its_path(path: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  {'.'.join(path)}: "):
        parse_settings(nested(path, 1))


@pytest.mark.parametrize("deadline_s", [9.01, 10, 0, -1, float("nan"), float("inf"), "soon"])
def test_a_deadline_past_the_wall_is_refused(deadline_s: object) -> None:
    with pytest.raises(SettingsError, match=r"(?m)^  deadline_s: "):
        parse_settings({"deadline_s": deadline_s})


@pytest.mark.parametrize("path", TYPED, ids=".".join)
def test_a_value_of_the_wrong_kind_is_refused_by_its_path(path: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  {'.'.join(path)}: "):
        parse_settings(nested(path, "nonsense"))


@pytest.mark.parametrize("other", [{"device": "cuda"}, {"precision": "fp32"}, {"precision": "bf16"}])
def test_a_quantised_engine_has_its_own_device_and_precision(other: dict[str, str]) -> None:
    assert parse_settings({"model": {"engine": "openvino-int8", "device": "cpu"}}).model.engine == "openvino-int8"
    with pytest.raises(SettingsError, match=r"(?m)^  model: .*int8 on the CPU"):
        parse_settings({"model": {"engine": "openvino-int8", **other}})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"deadline_s": 99, "on_unscanned": "maybe", "model": {"device": "tpu"}})
    first, *others = str(caught.value).splitlines()
    assert first == "wrong settings (the args of serve_config.yaml):"
    assert sorted(line.partition(":")[0].strip() for line in others) == ["deadline_s", "model.device", "on_unscanned"]


# Frozen


def test_settings_do_not_change() -> None:
    settings = parse_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.deadline_s = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.model.device = "cpu"  # type: ignore[misc]


def test_settings_travel_between_processes() -> None:
    settings = parse_settings({"limits": {"max_body_bytes": "1MB"}})
    assert pickle.loads(pickle.dumps(settings)) == settings


# The manual


def test_the_walk_over_the_settings_finds_them() -> None:
    assert {("deadline_s",), ("limits", "max_views"), ("model", "cpu_threads"), ("ledger", "kept_decisions")} <= set(
        LEAVES
    )


def args_node() -> yaml.MappingNode:
    """The args of the first application, as nodes, which know their lines."""
    root = yaml.compose(SERVE_CONFIG.read_text("utf-8"), yaml.SafeLoader)
    node = child(root, "applications")
    assert isinstance(node, yaml.SequenceNode)
    args = child(node.value[0], "args")
    assert isinstance(args, yaml.MappingNode)
    return args


def entry(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node]:
    assert isinstance(node, yaml.MappingNode)
    found = [(key, value) for key, value in node.value if key.value == name]
    assert found, f"serve_config.yaml does not have {name}"
    return found[0]


def child(node: yaml.Node | None, name: str) -> yaml.Node:
    return entry(node, name)[1]


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_setting_stands_in_the_serve_config_and_is_explained_there(path: tuple[str, ...]) -> None:
    node: yaml.Node = args_node()
    for name in path[:-1]:
        node = child(node, name)
    key, _ = entry(node, path[-1])
    lines = SERVE_CONFIG.read_text("utf-8").splitlines()
    at = key.start_mark.line
    assert " #" in lines[at] or lines[at - 1].lstrip().startswith("#"), f"line {at + 1} has no comment"


def test_the_args_of_the_serve_config_are_settings() -> None:
    document = yaml.safe_load(SERVE_CONFIG.read_text("utf-8"))
    parse_settings(document["applications"][0]["args"])
