"""A Serve configuration from a file: what it lacks is filled in, and what is wrong with it is one line."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.cli.serve_file import Choice, read_serve_file
from serve_app.domain import SettingsError

GOOD = """\
applications:
  - import_path: deployments.graph:build_app
    args:
      model: {source: fake, cpu_threads: 2}
"""


def read(folder, text, **choice):
    file = folder / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_serve_file(file, Choice(**choice))


def test_a_file_without_http_options_gets_the_documented_address(tmp_path):
    assert read(tmp_path, GOOD)["http_options"] == {"host": "127.0.0.1", "port": 14051}
    assert read(tmp_path, GOOD + "http_options: {port: 9}\n")["http_options"] == {"host": "127.0.0.1", "port": 9}
    assert read(tmp_path, GOOD + "http_options:\n")["http_options"] == {"host": "127.0.0.1", "port": 14051}


@pytest.mark.parametrize("args", ["", "\n    args:\n"])
def test_a_file_without_args_takes_the_defaults(tmp_path, args):
    config = read(tmp_path, "applications: \n  - import_path: deployments.graph:build_app" + args)
    assert config["applications"][0]["args"] == {}


def test_options_of_the_command_win(tmp_path):
    args = read(tmp_path, GOOD, model="random:ViT-B-32", policy="p.yaml")["applications"][0]["args"]
    assert args == {"model": {"source": "random:ViT-B-32", "cpu_threads": 2}, "policy": "p.yaml"}


@pytest.mark.parametrize(
    ("args", "choice", "chosen"),
    [
        ({}, {}, {}),
        ({"preset": "csam"}, {}, {"preset": "csam"}),
        ({}, {"preset": "nsfw"}, {"preset": "nsfw"}),
        ({"preset": "csam"}, {"preset": "nsfw"}, {"preset": "nsfw"}),
        ({"policy": "p", "model": {"source": "m", "cpu_threads": 2}}, {"preset": "nsfw"}, {"preset": "nsfw"}),
        # A policy has its own model; a model may be another form of the preset's.
        ({"preset": "csam"}, {"policy": "p"}, {"policy": "p"}),
        ({"preset": "csam"}, {"model": "./l"}, {"policy": "shipped:csam", "model": {"source": "./l"}}),
        ({"preset": "csam"}, {"policy": "p", "model": "m"}, {"policy": "p", "model": {"source": "m"}}),
        ({"preset": "nfsw"}, {"model": "m"}, {"model": {"source": "m"}}),
        ({"policy": "p", "model": {"source": "m"}}, {"policy": "q"}, {"policy": "q", "model": {"source": "m"}}),
        ({"preset": None, "policy": None}, {"model": "m"}, {"model": {"source": "m"}}),
    ],
)
def test_the_last_word_is_that_of_the_options(args, choice, chosen):
    given = {**args, "docs": True}
    result = Choice(**choice).applied(given)
    threads = result.get("model", {}).pop("cpu_threads", None)
    assert threads == args.get("model", {}).get("cpu_threads")
    assert {key: value for key, value in result.items() if value} == {**chosen, "docs": True}
    assert given == {**args, "docs": True}


@pytest.mark.parametrize("beside", [("policy",), ("model",), ("policy", "model")])
def test_a_preset_beside_a_policy_or_a_model_is_refused_with_what_to_remove(beside):
    said = " and ".join(f"--{name}" for name in beside)
    with pytest.raises(SettingsError, match=rf"--preset nsfw stands for .*: remove {said}, or --preset$"):
        Choice(preset="nsfw", **dict.fromkeys(beside, "x")).applied({})


def test_what_a_default_file_says_of_its_own_model_is_not_said_of_another(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(GOOD, "utf-8")
    demo = read_serve_file(file, Choice(model="random:ViT-B-32"), is_default=True)["applications"][0]["args"]
    assert demo["model"] == {"source": "random:ViT-B-32"}
    preset = read_serve_file(file, Choice(preset="nsfw"), is_default=True)["applications"][0]["args"]
    assert preset == {"preset": "nsfw"}
    assert read_serve_file(file, is_default=True)["applications"][0]["args"]["model"]["cpu_threads"] == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("applications: [\n  a: b\n  : c", r"config.yaml:3:\d+: is not YAML: "),
        ("a: b\n\tc: d\n", "config.yaml:2:1: is not YAML: "),
        ("a: 'b\n", r"config.yaml:2:1: is not YAML: while scanning a quoted scalar"),
        ("a: !!python/object:os.system {}\n", "config.yaml:1:4: is not YAML: could not determine a constructor"),
        ("a: 1\nb: \x01\n", "config.yaml:2:4: is not YAML: a forbidden character"),
        (b"a: \xff\n", "config.yaml: is not UTF-8 text: byte 3"),
        ("a: 2026-13-45\n", "config.yaml: is not YAML: month must be"),
        ("[" * 5000, "config.yaml: is not YAML: nested too deeply$"),
        ("", "a Serve configuration must be a mapping and is empty"),
        ("- a\n", "a Serve configuration must be a mapping and is a list"),
        ("text\n", "a Serve configuration must be a mapping and is a text"),
        ("http_options: {}\n", "`applications` is missing"),
        ("applications: []\n", "`applications` is missing or not a list"),
        ("applications: {a: b}\n", "`applications` is missing or not a list"),
        ("applications: [pictwarden]\n", "the first of `applications` must be a mapping and is a text"),
        ("applications: [{name: a}]\n", "has no `import_path`"),
        ("applications: [{import_path: a, args: [b]}]\n", "`args` must be a mapping and is a list"),
        ("applications: [{import_path: a, deployments: {b: c}}]\n", "`deployments` must be a list of mappings"),
        ("applications: [{import_path: a, deployments: [b]}]\n", "`deployments` must be a list of mappings"),
        (
            "applications: [{import_path: a}]\nhttp_options: 14051\n",
            "`http_options` must be a mapping and is a",
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path, text, says):
    with pytest.raises(SettingsError, match=says) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'config.yaml'}:")
    assert len(str(raised.value).splitlines()) == 1


def test_a_model_of_the_file_that_is_no_mapping_is_said(tmp_path):
    with pytest.raises(SettingsError, match=r"`args\.model` must be a mapping"):
        read(tmp_path, "applications: [{import_path: a, args: {model: fake}}]\n", model="fake")


@pytest.mark.parametrize(("name", "says"), [("nowhere.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_said(tmp_path, name, says):
    with pytest.raises(SettingsError, match=f": cannot be read: {says}"):
        read_serve_file(tmp_path / name)


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_text_at_all_is_a_traceback(tmp_path_factory, text):
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(SettingsError):
        read(Path(folder), body)


def test_keys_that_are_left_empty_are_as_if_they_were_not_there(tmp_path):
    file = tmp_path / "serve.yaml"
    file.write_text(
        "logging_config:\napplications:\n- import_path: a:b\n  deployments:\n  args:\nhttp_options:\n", "utf-8"
    )
    config = read_serve_file(file)
    assert config["logging_config"] == {}
    assert config["applications"][0] == {"import_path": "a:b", "deployments": [], "args": {}}
