"""Secrets that are replaced in their files while the service runs: at the next request, and without a gap."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.domain import UNNAMED_SOURCE, SettingsError, UnauthorisedError
from serve_app.http.guard import Guard
from serve_app.http.scopes import FollowedScopes
from serve_app.settings import AuthenticationSettings

OLD, NEW = "the-old-secret-of-pict-rs", "the-new-secret-of-pict-rs"


class Files:
    """The three files of secrets, and the guard that follows them."""

    def __init__(self, folder: Path) -> None:
        self._written = 0
        self._names = {
            "scans": "PICTWARDEN_SECRETS",
            "admins": "PICTWARDEN_ADMIN_SECRETS",
            "misskey": "PICTWARDEN_MISSKEY_SECRETS",
        }
        self._folder = folder
        self.write("scans", OLD)
        self.write("admins", "alice:the-secret-of-alice")
        self.write("misskey", "the-secret-of-misskey")
        environment = {f"{variable}_FILE": str(self.of(scope)) for scope, variable in self._names.items()}
        self.guard = Guard.from_environment(AuthenticationSettings(), environment)

    def of(self, scope: str) -> Path:
        return self._folder / scope

    def write(self, scope: str, content: str) -> None:
        """As long ago as nobody is unsure about, and later than before."""
        self._written += 1
        self.of(scope).touch(0o600)
        self.of(scope).write_text(content, "utf-8")
        os.utime(self.of(scope), (1e9 + self._written, 1e9 + self._written))

    def may_scan(self, secret: str) -> bool:
        try:
            self.guard.require_scanner(secret, None, None)
        except UnauthorisedError:
            return False
        return True


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_old_and_new_are_accepted_together_and_then_the_new_one_alone(files: Files) -> None:
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (True, False)
    files.write("scans", f"{OLD}\n{NEW}\n")
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (True, True)
    files.write("scans", f"{NEW}\n")
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (False, True)


def test_admins_and_misskey_change_too(files: Files) -> None:
    assert files.guard.require_admin("Bearer the-secret-of-alice") == "alice"
    files.write("admins", "bob:the-secret-of-bob-too")
    files.write("misskey", "another-secret-of-misskey")
    assert files.guard.require_admin("Bearer the-secret-of-bob-too") == "bob"
    files.guard.require_misskey("Bearer another-secret-of-misskey")
    with pytest.raises(UnauthorisedError):
        files.guard.require_admin("Bearer the-secret-of-alice")
    with pytest.raises(UnauthorisedError):
        files.guard.require_misskey("Bearer the-secret-of-misskey")


@pytest.mark.parametrize(
    "content", ["", "too-short", "the-secret-of-alice", "the-secret-of-misskey", "the-sécret-of-nobody", None]
)
def test_a_change_that_cannot_be_used_changes_nothing_and_is_told_once(
    files: Files, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if content is None:
        files.of("scans").unlink()
    else:
        files.write("scans", content)
    assert all(files.may_scan(OLD) for _ in range(3))
    (told,) = caplog.messages
    assert told.startswith("the secrets stay as they were: ")
    assert not content or content not in told
    files.write("scans", NEW)
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (False, True)


def test_a_file_that_is_caught_between_two_writes_is_read_again(files: Files) -> None:
    # As `echo NEW > FILE` does it: empty for a moment, and all within one tick of the file system's clock.
    files.of("scans").write_bytes(b"")
    assert files.may_scan(OLD)
    files.of("scans").write_text(NEW, "utf-8")
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (False, True)


@contextlib.contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    """EMFILE, which passes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_could_not_be_read_for_a_moment_counts_a_second_later(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    environment = {"PICTWARDEN_SECRETS_FILE": str(files.of("scans"))}
    scopes = FollowedScopes(AuthenticationSettings(), {}, environment, lambda: now_s)
    files.write("scans", NEW)
    with no_file_can_be_opened():
        assert scopes().scanners == ((UNNAMED_SOURCE, OLD.encode()),)
    assert "the secrets stay as they were" in caplog.text
    now_s = 0.9
    assert scopes().scanners == ((UNNAMED_SOURCE, OLD.encode()),)
    now_s = 1.0
    assert scopes().scanners == ((UNNAMED_SOURCE, NEW.encode()),)


def test_a_file_that_cannot_be_used_at_the_start_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^PICTWARDEN_SECRETS_FILE names .* cannot be read"):
        Guard.from_environment(AuthenticationSettings(), {"PICTWARDEN_SECRETS_FILE": str(tmp_path / "none")})


def test_the_file_is_that_of_the_variable_that_the_settings_name(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text(NEW, "utf-8")
    settings = AuthenticationSettings(secrets_env="MINE")
    guard = Guard.from_environment(settings, {"MINE_FILE": str(tmp_path / "secret")})
    guard.require_scanner(NEW, None, None)
