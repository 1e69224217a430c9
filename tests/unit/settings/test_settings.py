"""The args of serve_config.yaml: what they are by default, what is refused, and that each one is explained."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from serve_app.composition.configuration import read_args
from serve_app.domain import Lane, OnTruncated, OnUnscanned, SettingsError
from serve_app.media import MediaLimits
from serve_app.settings import MAX_DEADLINE_S, Settings, parse_settings
from serve_app.settings.changes import CHANGES, Change, has_key, outdated, upgraded
from serve_app.settings.presets import DEFAULT, PRESETS

ROOT = Path(__file__).parents[3]
SERVE_CONFIG = ROOT / "serve_config.yaml"


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key that holds a value and not a section."""
    for name, described in model.model_fields.items():
        kind = described.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, (*path, name))
        elif isinstance(kind, type) and is_dataclass(kind):
            yield from ((*path, name, field.name) for field in fields(kind))
        elif name == "truncated":
            yield from ((*path, name, lane.value) for lane in Lane)
        else:
            yield (*path, name)


REMOVED = {change.key for change in CHANGES}
LEAVES = [leaf for leaf in leaves(Settings) if ".".join(leaf) not in REMOVED]
TEXTS = {
    ("policy",),
    ("ledger",),
    ("shadow_policy",),
    ("model", "source"),
    ("model", "cache_folder"),
    ("authentication", "secrets_env"),
    ("authentication", "misskey_secrets_env"),
    ("admin", "host"),
    ("metrics", "host"),
    ("notices", "urls_env"),
}
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
    assert (settings.preset, settings.policy, settings.model.source) == (None, None, None)
    assert (settings.chosen_preset, settings.policy_source) == (DEFAULT, "shipped:starter")
    assert settings.limits.max_body_bytes == 64_000_000
    assert settings.authentication.trusted_networks == ()
    assert settings.ledger is None
    assert settings.truncated == {Lane.LIVE: OnTruncated.REFUSE, Lane.BACKGROUND: OnTruncated.SCAN}
    assert settings == Settings()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_policy(name: str) -> None:
    # null is how the file says that something is not set.
    settings = parse_settings({"preset": name, "policy": None, "model": {"source": None, "device": "cpu"}})
    assert (settings.chosen_preset, settings.policy_source) == (PRESETS[name], PRESETS[name].policy)


@pytest.mark.parametrize(
    ("args", "policy"),
    [
        ({"policy": "mine.yaml"}, "mine.yaml"),
        ({"preset": None, "policy": "mine.yaml", "model": {"source": "fake"}}, "mine.yaml"),
        ({"model": {"source": "embedded:demo-shapes"}}, "shipped:demo-red-triangle"),
    ],
)
def test_a_policy_or_a_model_of_ones_own_is_no_preset(args: dict[str, Any], policy: str) -> None:
    settings = parse_settings(args)
    assert (settings.chosen_preset, settings.policy_source) == (None, policy)


def test_limits_are_what_the_media_room_takes() -> None:
    limits = parse_settings({"limits": {"max_pixels": 7, "max_decode_memory_bytes": "100MB"}}).limits
    assert isinstance(limits, MediaLimits)
    assert (limits.max_pixels, limits.max_decode_memory_bytes, limits.max_frames) == (7, 100_000_000, 16)


def test_a_decode_worker_that_is_sent_limits_loads_no_pydantic() -> None:
    # It would take 11 MB in each worker.
    sent = pickle.dumps(parse_settings({"limits": {"max_body_bytes": "40MiB"}}).limits).hex()
    code = (
        f"import pickle, sys, serve_app.media.worker_main; pickle.loads(bytes.fromhex('{sent}')); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "serve_app.domain.limits" in loaded.split()
    assert "pydantic" not in loaded.split()


def test_no_decode_outlasts_what_is_left_of_its_deadline() -> None:
    limits = parse_settings({}).limits
    assert limits.within(8.0) == limits
    assert limits.within(2.0) == replace(limits, max_decode_s=1.8)


def test_one_lane_may_be_told_what_to_do_with_cut_pictures() -> None:
    truncated = parse_settings({"truncated": {"live": "scan"}}).truncated
    assert truncated == {Lane.LIVE: OnTruncated.SCAN, Lane.BACKGROUND: OnTruncated.SCAN}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("41MB", 41_000_000), ("40 MiB", 41_943_040), ("500kB", 500_000), (123, 123), ("123", 123)],
)
def test_sizes_are_written_with_their_unit(given: str | int, expected: int) -> None:
    assert parse_settings({"limits": {"max_body_bytes": given}}).limits.max_body_bytes == expected


@pytest.mark.parametrize("deadline_s", [0.05, 8, MAX_DEADLINE_S])
def test_a_deadline_within_the_wall_is_taken(deadline_s: float) -> None:
    assert parse_settings({"deadline_s": deadline_s}).deadline_s == deadline_s


def test_metrics_are_on_for_this_machine_alone_and_can_be_off() -> None:
    assert (parse_settings({}).metrics.host, parse_settings({}).metrics.port) == ("127.0.0.1", 14053)
    assert parse_settings({"metrics": {"port": None}}).metrics.port is None


def test_a_section_that_is_given_in_part_keeps_its_other_defaults() -> None:
    settings = parse_settings({"model": {"cpu_threads": 2}, "limits": {"max_frames": 4}})
    assert (settings.model.cpu_threads, settings.model.max_batch_views) == (2, 32)
    assert (settings.limits.max_frames, settings.limits.max_body_bytes) == (4, 64_000_000)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://pictrs.example/behind/a/path", "http://[::1]:8080/"])
def test_the_address_of_pict_rs_is_taken(url: str) -> None:
    assert parse_settings({"pictrs": {"url": url}}).pictrs.url == url.rstrip("/")


# Refusals


@pytest.mark.parametrize(
    "url",
    ["pictrs:8080", "http://", "ftp://a", "http://a:b@c", "http://a?b", "http://a#b", "http://a:99999", "http://["],
)
def test_another_address_of_pict_rs_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"(?m)^  pictrs\.url: "):
        parse_settings({"pictrs": {"url": url}})


@pytest.mark.parametrize("path", [("deadline",), ("model", "sauce"), ("limits", "max_bytes"), ("truncated", "dead")])
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


@pytest.mark.parametrize(
    ("beside", "remove"),
    [
        ({"policy": "shipped:csam"}, "policy"),
        ({"model": {"source": "fake"}}, r"model\.source"),
        ({"policy": "mine.yaml", "model": {"source": "fake"}}, r"policy and model\.source"),
    ],
)
def test_a_preset_beside_what_it_stands_for_is_refused_with_what_to_remove(beside: dict[str, Any], remove: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  preset: csam-fast .*: remove {remove}, or remove preset$"):
        parse_settings({"preset": "csam-fast", **beside})


def test_a_preset_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  preset: there is no preset 'nfsw': .* {', '.join(PRESETS)}$"):
        parse_settings({"preset": "nfsw"})


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


@pytest.mark.parametrize(
    "ledger",
    [
        None,
        "memory",
        "ledger.db",
        "/var/lib/pictwarden/my ledger.db",
        "postgresql://pictwarden@db.example:5433/pictwarden",
        "postgres://pictwarden@db/x?sslmode=require",
        "postgresql:///pictwarden?host=/run/postgresql",
    ],
)
def test_a_ledger_is_a_file_a_postgresql_database_or_memory(ledger: str | None) -> None:
    assert parse_settings({"ledger": ledger}).ledger == ledger


@pytest.mark.parametrize(
    ("ledger", "message"),
    [
        ("", "write null, a path"),
        (" ", "write null, a path"),
        ("a\0b", "write null, a path"),
        ("sqlite:///decisions.db", "PostgreSQL is the only database with a URL"),
        ("mysql://user:hush@db/pictwarden", "PostgreSQL is the only database with a URL"),
        ("postgresql://db:port/hush", "not a URL"),
        ("postgresql://user:hush@db/pictwarden", "PGPASSWORD"),
        ("postgresql://user@db/pictwarden?password=hush", "PGPASSWORD"),
        (1, "valid string"),
        ({"kept": 3}, "valid string"),
    ],
)
def test_another_ledger_is_refused_without_its_password(ledger: object, message: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  ledger: .*{message}") as caught:
        parse_settings({"ledger": ledger})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("section", ["model", "limits", "authentication", "pictrs"])
@pytest.mark.parametrize("value", [None, 3, "fake", ["fake"]])
def test_a_section_is_one(section: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({section: value})
    assert str(caught.value).splitlines()[1:] == [f"  {section}: is a section, with keys of its own"]


# Keys of earlier versions


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.key)
def test_a_key_of_an_earlier_version_is_refused_with_what_became_of_it(change: Change) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(nested(tuple(change.key.split(".")), 1))
    first, line, way_out = str(caught.value).splitlines()
    assert first == "wrong settings (the args of serve_config.yaml):"
    assert line.startswith(f"  {change.key}: was {'renamed to' if change.new_key else 'removed in'} ")
    assert (change.new_key or change.reason) in line
    assert "`pictwarden settings upgrade FILE`" in way_out


def test_what_else_is_wrong_is_told_with_the_keys_of_earlier_versions() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"limits": {"decode_workers": 0, "max_pixels": 0}, "retry_after_s": 5})
    _, *lines, _ = str(caught.value).splitlines()
    assert [line.partition(":")[0].strip() for line in lines] == [
        *("limits.decode_workers", "retry_after_s"),
        *("decode_workers", "limits.max_pixels"),
    ]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.key)
def test_no_key_has_changed_and_is_a_setting(change: Change) -> None:
    assert tuple(change.key.split(".")) not in LEAVES
    assert change.new_key is None or tuple(change.new_key.split(".")) in LEAVES
    assert change.new_key or change.reason


def test_the_args_of_0_1_0_are_settings_once_they_are_upgraded() -> None:
    document = yaml.safe_load((ROOT / "tests" / "golden" / "serve_config_0.1.0.yaml").read_text("utf-8"))
    args = document["applications"][0]["args"]
    assert {change.key for change in outdated(args)} == {change.key for change in CHANGES if change.since == "0.2.0"}
    assert not outdated(upgraded(args))
    # The file said what the defaults of a cluster are, and still does: a policy under its earlier name, and its model.
    was, is_now = read_args(upgraded(args)), read_args(shipped_args())
    assert was[1:] == is_now[1:]
    same = {"preset": None, "policy": None}
    assert was[0].model_copy(update=same) == is_now[0].model_copy(update=same)


def test_a_renamed_key_keeps_its_value_unless_the_new_one_is_set() -> None:
    assert upgraded({"limits": {"decode_workers": 3}}) == {"decode_workers": 3}
    assert upgraded({"limits": {"decode_workers": 3, "max_frames": 2}, "decode_workers": 5}) == {
        "limits": {"max_frames": 2},
        "decode_workers": 5,
    }
    args = {"ledger": {"kept_decisions": 5}, "docs": True}
    assert upgraded(args) == {"docs": True}
    assert args == {"ledger": {"kept_decisions": 5}, "docs": True}


def test_a_key_may_move_to_a_section_that_is_not_there_yet() -> None:
    moved = Change("9.9.9", "a.b", new_key="c.d.e")
    assert upgraded({"a": {"b": 1}}, [moved]) == {"c": {"d": {"e": 1}}}
    assert has_key({"c": {"d": {"e": 1}}}, "c.d.e")
    assert outdated({"a": 1}, [moved]) == []


# Frozen


def test_settings_do_not_change() -> None:
    settings = parse_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.deadline_s = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        settings.model.device = "cpu"
    with pytest.raises(FrozenInstanceError):
        settings.limits.max_frames = 1  # type: ignore[misc]


def test_settings_travel_between_processes() -> None:
    settings = parse_settings({"limits": {"max_body_bytes": "1MB"}})
    assert pickle.loads(pickle.dumps(settings)) == settings


# The manual


def test_the_walk_over_the_settings_finds_them() -> None:
    assert {("deadline_s",), ("limits", "max_frames"), ("model", "cpu_threads"), ("truncated", "live")} <= set(LEAVES)


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


def shipped_args() -> dict[str, Any]:
    args = yaml.safe_load(SERVE_CONFIG.read_text("utf-8"))["applications"][0]["args"]
    assert isinstance(args, dict)
    return args


def test_the_args_of_the_serve_config_are_settings() -> None:
    parse_settings(shipped_args())


def keys_of(args: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in args.items():
        yield from keys_of(value, f"{path}{name}.") if isinstance(value, dict) and value else [f"{path}{name}"]


def test_the_first_five_keys_are_those_that_everyone_sets() -> None:
    first = list(keys_of(shipped_args()))[:5]
    assert set(first) == {"preset", "policy", "model.device", "on_unscanned", "ledger"}


def test_the_serve_config_has_no_key_that_is_not_a_setting() -> None:
    assert set(keys_of(shipped_args())) == {".".join(leaf) for leaf in LEAVES}
