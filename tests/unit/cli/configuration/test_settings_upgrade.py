"""`pictwarden settings upgrade`: a file of an earlier version becomes one of this version, comments and order kept."""

from __future__ import annotations

import contextlib
import errno
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from serve_app.cli.configuration.upgrading import upgraded_text
from serve_app.cli.main import app
from serve_app.domain import SettingsError
from serve_app.settings import parse_settings
from serve_app.settings.changes import CHANGES, upgraded

ROOT = Path(__file__).parents[4]
OF_0_1_0 = ROOT / "tests" / "golden" / "serve_config_0.1.0.yaml"

SMALL = """\
# Mine.
policy: shipped:demo-red-triangle   # for now
model: {source: 'fake', max_queued_views: 9, device: cpu}
retry_after_s: 5
limits:
  # Four cores, three for pictures.
  decode_workers: 3

  max_pixels: 1_000_000
ledger:
  kept_decisions: 5
"""

UPGRADED = """\
# Mine.
policy: shipped:demo-red-triangle   # for now
model: {source: 'fake', device: cpu}
limits:
  max_pixels: 1_000_000
# Four cores, three for pictures.
decode_workers: 3
"""


def upgrade(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["settings", "upgrade", *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration of somebody with a small server, in the words of 0.1.0."""
    file = tmp_path / "mine.yaml"
    file.write_text(SMALL, "utf-8")
    return file


def test_a_file_is_rewritten_and_kept_as_it_was(file: Path) -> None:
    file.chmod(0o640)
    result = upgrade(file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert file.read_text("utf-8") == UPGRADED
    assert Path(f"{file}.bak").read_text("utf-8") == SMALL
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(each.name for each in file.parent.iterdir()) == ["mine.yaml", "mine.yaml.bak"]


def test_what_changes_is_shown_with_its_reason(file: Path) -> None:
    lines = upgrade(file).stdout.splitlines()
    assert "-retry_after_s: 5" in lines
    assert "+decode_workers: 3" in lines
    assert "limits.decode_workers: was renamed to decode_workers in 0.2.0" in lines
    assert any(line.startswith("ledger.kept_decisions: was removed in 0.2.0: ") for line in lines)
    assert lines[-1] == f"{file} is rewritten; the old file is {file}.bak"


def test_a_second_time_there_is_nothing_to_do(file: Path) -> None:
    upgrade(file)
    result = upgrade(file)
    assert (result.exit_code, result.stdout) == (0, f"{file}: no keys of earlier versions\n")
    assert Path(f"{file}.bak").read_text("utf-8") == SMALL
    assert upgrade(file, "--dry-run").exit_code == 0


def test_no_backup_is_written_over(file: Path) -> None:
    first, second = Path(f"{file}.bak"), Path(f"{file}.bak2")
    first.write_text("somebody's own", "utf-8")
    assert upgrade(file).stdout.splitlines()[-1] == f"{file} is rewritten; the old file is {second}"
    assert (first.read_text("utf-8"), second.read_text("utf-8")) == ("somebody's own", SMALL)


def test_a_file_that_cannot_be_replaced_stays_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "mine.yaml")

    monkeypatch.setattr("os.fsync", fail)
    result = upgrade(file)
    assert (result.exit_code, result.stderr) == (2, "mine.yaml: No space left on device\n")
    assert file.read_text("utf-8") == SMALL
    assert sorted(each.name for each in file.parent.iterdir()) == ["mine.yaml", "mine.yaml.bak"]


def test_a_dry_run_shows_and_writes_nothing(file: Path) -> None:
    result = upgrade(file, "--dry-run")
    assert result.exit_code == 1
    assert "+decode_workers: 3" in result.stdout.splitlines()
    assert file.read_text("utf-8") == SMALL
    assert list(file.parent.iterdir()) == [file]


def test_a_link_to_a_file_stays_a_link(file: Path) -> None:
    link = file.with_name("link.yaml")
    link.symlink_to(file.name)
    assert upgrade(link).exit_code == 0
    assert link.is_symlink()
    assert file.read_text("utf-8") == UPGRADED


def test_the_file_of_0_1_0_keeps_every_other_line(tmp_path: Path) -> None:
    before = OF_0_1_0.read_text("utf-8")
    after = upgraded_text(before, "serve_config.yaml")
    old, new = before.splitlines(), after.splitlines()
    assert [line.strip() for line in old if line not in new and "#" not in line] == [
        *("max_queued_views: 1024", "retry_after_s: 30", "max_views: 12", "decode_workers: null"),
        *("trust_private_addresses: false", "ledger:", "kept_decisions: 10000"),
    ]
    first, second, third = (line for line in new if line not in old)
    assert first.startswith("      # Worker processes per Preprocessor replica: ")
    assert second == "      # num_cpus, and at least one. Give the replica as many cores as workers."
    assert third == "      decode_workers: null"
    document = yaml.safe_load(after)
    parse_settings(document["applications"][0]["args"])
    was: Any = yaml.safe_load(before)
    was["applications"][0]["args"] = upgraded(was["applications"][0]["args"])
    assert document == was


def test_the_files_of_this_version_have_nothing_to_upgrade() -> None:
    for path in (ROOT / "serve_config.yaml", ROOT / "deployments" / "local.yaml"):
        text = path.read_text("utf-8")
        assert upgraded_text(text, path.name) == text


def test_each_application_of_a_file_is_upgraded() -> None:
    text = (
        "applications:\n- import_path: a:b\n  args:\n    retry_after_s: 1\n- import_path: c:d\n"
        "- args: {limits: {max_views: 3}, docs: true}\n  import_path: e:f\n"
    )
    assert upgraded_text(text, "f.yaml") == (
        "applications:\n- import_path: a:b\n  args:\n- import_path: c:d\n- args: {docs: true}\n  import_path: e:f\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("retry_after_s: 5", ""),
        ("retry_after_s: 5 # soon\ndocs: true\n", "docs: true\n"),
        ("limits: {decode_workers: 2}", "decode_workers: 2\n"),
        ("{limits: {decode_workers: 2}}", "{decode_workers: 2}"),
        ("{limits: {decode_workers: 2, max_views: 1}, docs: true}", "{decode_workers: 2, docs: true}"),
        ("docs: true\nlimits: {max_frames: 3, decode_workers: 2}\n", None),
        ("limits:\n    decode_workers: 2\n", "decode_workers: 2\n"),
        (
            "limits:\r\n  decode_workers: 2\r\n  max_frames: 3\r\n",
            "limits:\r\n  max_frames: 3\r\ndecode_workers: 2\r\n",
        ),
        ("limits:\n  decode_workers: 2\ndecode_workers: 3\n", "decode_workers: 3\n"),
        ("'retry_after_s': !!int 5\n\"docs\": false\n", '"docs": false\n'),
        ("limits:\n  decode_workers: >\n    2\n\n  # The rest.\n  max_frames: 3\n", None),
        ("limits:\n  decode_workers:\n  max_frames: 3\n", "limits:\n  max_frames: 3\ndecode_workers:\n"),
        ("model:\n  max_queued_views: {a: [1,\n    2]}\n  source: fake\n", "model:\n  source: fake\n"),
        (
            "model:\n  max_queued_views:\n  - 1\n  - b: c\n  # Which.\n  source: x\n",
            "model:\n  # Which.\n  source: x\n",
        ),
        ("docs: true\n\n# How long.\nretry_after_s: 3\n\npolicy: p\n", "docs: true\n\npolicy: p\n"),
        ("a: &x {b: 1}\nretry_after_s: 3\nc: *x\n", "a: &x {b: 1}\nc: *x\n"),
    ],
)
def test_every_form_of_yaml_keeps_what_it_says_beside(before: str, after: str | None) -> None:
    text = upgraded_text(before, "f.yaml")
    if after is not None:
        assert text == after
    assert (yaml.safe_load(text) or {}) == upgraded(yaml.safe_load(before))
    assert upgraded_text(text, "f.yaml") == text


VALUES = st.one_of(
    *(st.integers(), st.booleans(), st.none(), st.text(max_size=20)),
    st.lists(st.integers() | st.text(max_size=5), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b c", "#", "retry_after_s"]), st.integers(), max_size=3),
)
KEYS = {
    "": ["policy", "retry_after_s", "decode_workers", "docs"],
    "model": ["source", "max_queued_views", "device"],
    "limits": ["max_frames", "max_views", "decode_workers", "max_pixels"],
    "ledger": ["kept_decisions"],
    "authentication": ["trust_private_addresses", "secrets_env"],
}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Args in the words of both versions, in any order, with any values."""
    args = draw(st.dictionaries(st.sampled_from(KEYS[""]), VALUES))
    for section in draw(st.lists(st.sampled_from([each for each in KEYS if each]), unique=True)):
        args[section] = draw(st.dictionaries(st.sampled_from(KEYS[section]), VALUES))
    return dict(draw(st.permutations(list(args.items()))))


@given(configurations(), st.sampled_from([True, False, None]), st.integers(2, 6), st.booleans())
def test_every_file_means_the_same_as_its_upgraded_values(
    args: dict[str, Any], flow: bool | None, indent: int, is_whole: bool
) -> None:
    document: dict[str, Any] = {"applications": [{"args": args, "name": "x"}]} if is_whole else args
    text = yaml.safe_dump(document, default_flow_style=flow, indent=indent, sort_keys=False, width=40)
    after = yaml.safe_load(upgraded_text(text, "f.yaml"))
    assert ((after["applications"][0]["args"] if is_whole else after) or {}) == upgraded(args)


@pytest.mark.parametrize(
    "text",
    [
        "x: &shared {retry_after_s: 3}\napplications:\n- args: *shared\n",
        "x: &shared {retry_after_s: 3}\napplications:\n- args: {<<: *shared, docs: true}\n",
        "a: &x 3\nretry_after_s: *x\ndocs: true\n",
        "a: &x 3\nlimits: {decode_workers: *x}\n",
        "docs: true\n? retry_after_s\n: 3\n",
        "a: &x {b: *x}\nretry_after_s: 3\n",
    ],
)
def test_yaml_that_is_not_understood_is_left_alone_and_the_way_out_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "clever.yaml"
    file.write_text(text, "utf-8")
    result = upgrade(file)
    assert (result.exit_code, result.stdout) == (2, "")
    first, *others = result.stderr.splitlines()
    assert first.endswith("aliases or several keys on a line:")
    assert others
    assert all(line.strip().startswith(tuple(change.key for change in CHANGES)) for line in others)
    assert file.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- retry_after_s: 3\n", "is neither a configuration nor a mapping"),
        ("applications: {a: b}\n", "`applications` must be a list"),
        ("applications: [a]\n", "`applications` must be a list"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_said(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text, "utf-8")
    result = upgrade(file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(str(file))
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


WORDS = st.sampled_from(
    [
        *("retry_after_s", "limits", "decode_workers", "max_views", "applications", "args", "x", "1"),
        *(": ", ":", "- ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", "# "),
        *("&a ", "*a", "? ", "<<: ", "|", "'", "\t", "\r\n", "\u2028"),
        *(
            "limits: {decode_workers: 1}\n",
            "limits:\n  decode_workers: 1\n",
            "\nretry_after_s: 3\n",
            "retry_after_s: 3, ",
        ),
    ]
)


@given(st.lists(WORDS, max_size=25).map("".join))
def test_no_text_at_all_is_a_traceback(text: str) -> None:
    with contextlib.suppress(SettingsError):
        after = upgraded_text(text, "f.yaml")
        assert upgraded_text(after, "f.yaml") == after


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = upgrade(tmp_path / "nowhere.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be read: No such file" in result.stderr


def test_what_is_wrong_beside_is_said_after_the_file_is_rewritten(file: Path) -> None:
    file.write_text(SMALL + "docs: perhaps\n", "utf-8")
    result = upgrade(file)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[1].startswith("  docs: ")
    assert file.read_text("utf-8") == UPGRADED + "docs: perhaps\n"


def test_a_file_that_nobody_understands_is_never_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.cli.configuration.upgrading.remove_key", lambda *_: "docs: true\n")
    with pytest.raises(SettingsError, match="by hand"):
        upgraded_text("retry_after_s: 3\npolicy: p\n", "f.yaml")
