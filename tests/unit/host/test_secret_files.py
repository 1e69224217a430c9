"""Secrets from files: which one counts, what a file that cannot be used is told to be, and when a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve_app.domain import SettingsError
from serve_app.host import secret_files
from serve_app.host.secret_files import SecretFiles, read_secret, read_secrets

NAME, FILE_NAME = "MY_SECRET", "MY_SECRET_FILE"
LONG_AGO_S = 1_000_000_000
NEVER_S = 9_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(0o600)
    return file


def write(file: Path, content: str, at_s: int | None = None) -> None:
    file.write_text(content, "utf-8")
    if at_s is not None:
        os.utime(file, (at_s, at_s))


@pytest.mark.parametrize("content", ["a secret", "a secret\n", "a secret\r\n", " \n a secret \n\n"])
def test_a_secret_is_in_its_variable_or_in_its_file(file: Path, content: str) -> None:
    write(file, content)
    assert read_secret(NAME, {FILE_NAME: str(file)}) == "a secret"
    assert read_secret(NAME, {FILE_NAME: str(file), NAME: ""}) == "a secret"
    assert read_secret(NAME, {NAME: content}) == "a secret"
    assert read_secret(NAME, {NAME: content, FILE_NAME: ""}) == "a secret"
    assert read_secret(NAME, {}) == ""


def test_several_are_separated_by_commas_and_in_a_file_by_lines_too(file: Path) -> None:
    write(file, "one,two\nthree, \r\n,four\n")
    assert read_secrets(NAME, {FILE_NAME: str(file)}) == ("one", "two", "three", "four")
    assert read_secrets(NAME, {NAME: " one ,, two,"}) == ("one", "two")


@pytest.mark.parametrize(
    ("content", "path", "told"),
    [
        (None, None, "(No such file or directory): write the secret into that file .*, or correct the path"),
        ("", None, "is empty: write the secret into it"),
        (" \n", None, "is empty: write the secret into it"),
        ("x", ".", "(Is a directory): .* or correct the path"),
        ("x", "secret", "is the relative path 'secret': begin it with /"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, content: str | None, path: str | None, told: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        write(file, content)
    named = {None: str(file), ".": str(tmp_path)}.get(path, path)
    with pytest.raises(SettingsError, match=rf"^{FILE_NAME} .*{told.replace('(', '[(]').replace(')', '[)]')}"):
        read_secret(NAME, {FILE_NAME: str(named)})


def test_bytes_that_are_no_text_are_not_shown(file: Path) -> None:
    file.write_bytes(b"secret\xff\xfe")
    with pytest.raises(SettingsError, match="it is no text") as caught:
        read_secret(NAME, {FILE_NAME: str(file)})
    assert "xff" not in str(caught.value)


def test_two_places_for_one_secret_are_refused_and_neither_is_shown(file: Path) -> None:
    write(file, "of the file")
    with pytest.raises(SettingsError, match=f"both {NAME} and {FILE_NAME} are set: remove one") as caught:
        read_secret(NAME, {NAME: "of the environment", FILE_NAME: str(file)})
    assert "of the" not in str(caught.value)


def test_a_file_that_all_users_can_read_is_warned_of_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(file, "xyzzy")
    read_secret(NAME, {FILE_NAME: str(file)})
    file.chmod(0o440)
    read_secret(NAME, {FILE_NAME: str(file)})
    assert caplog.messages == []
    file.chmod(0o644)
    for _ in range(3):
        assert read_secret(NAME, {FILE_NAME: str(file)}) == "xyzzy"
    (told,) = caplog.messages
    assert f"{FILE_NAME} names {file}, which every user of this machine can read: chmod 400" in told
    assert "xyzzy" not in told.removeprefix(f"{FILE_NAME} names {file}")


# Changes


def watched(file: Path) -> SecretFiles:
    return SecretFiles((NAME, "ANOTHER"), {FILE_NAME: str(file), "ANOTHER": "of the environment"})


def test_without_files_nothing_changes() -> None:
    assert not SecretFiles((NAME,), {NAME: "x"}).have_changed()


def test_a_change_is_told_once(file: Path) -> None:
    write(file, "first", LONG_AGO_S)
    files = watched(file)
    assert not files.have_changed()
    write(file, "second", LONG_AGO_S + 1)
    assert [files.have_changed(), files.have_changed()] == [True, False]


def test_a_content_of_the_same_length_and_time_is_a_change(file: Path) -> None:
    write(file, "one", LONG_AGO_S)
    files = watched(file)
    before_ns = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before_ns:  # the file system's clock has ticks
        write(file, "two", LONG_AGO_S)
    assert files.have_changed()


def test_what_was_just_written_may_have_changed_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files, "_YOUNG_NS", 10**12)
    write(file, "one")
    files = watched(file)
    assert [files.have_changed(), files.have_changed()] == [True, True]


def test_a_file_from_the_future_is_not_read_at_each_request(file: Path) -> None:
    write(file, "one", NEVER_S)
    files = watched(file)
    assert not files.have_changed()
    write(file, "two", NEVER_S + 1)
    assert [files.have_changed(), files.have_changed()] == [True, False]


def test_a_file_that_goes_and_comes_is_a_change(file: Path) -> None:
    write(file, "first", LONG_AGO_S)
    files = watched(file)
    file.unlink()
    assert [files.have_changed(), files.have_changed()] == [True, False]
    write(file, "first", LONG_AGO_S)
    assert [files.have_changed(), files.have_changed()] == [True, False]


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    # Kubernetes replaces the content of a secret so.
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "secret", name, LONG_AGO_S)
    link, next_link = tmp_path / "data", tmp_path / "next"
    link.symlink_to("old")
    files = watched(link / "secret")
    assert not files.have_changed()
    next_link.symlink_to("new")
    next_link.rename(link)
    assert [files.have_changed(), files.have_changed()] == [True, False]
