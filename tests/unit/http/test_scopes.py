"""Secrets that are replaced in their files while the service runs: at the next request, and without a gap."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from serve_app.domain import UNNAMED_SOURCE, SettingsError, UnauthorisedError
from serve_app.http.guard import Guard
from serve_app.http.scopes import FollowedScopes
from serve_app.settings import AuthenticationSettings, SourceSettings

OLD, NEW = "the-old-secret-of-pict-rs", "the-new-secret-of-pict-rs"


class Files:
    """The files of secrets, and the guard that follows them."""

    def __init__(self, folder: Path) -> None:
        self._written = 0
        self._names = {
            "scans": "PICTWARDEN_SECRETS",
            "admins": "PICTWARDEN_ADMIN_SECRETS",
            "workers": "PICTWARDEN_WORKER_SECRETS",
            "misskey": "PICTWARDEN_MISSKEY_SECRETS",
        }
        self._folder = folder
        self.write("scans", OLD)
        self.write("admins", "alice:the-secret-of-alice")
        self.write("workers", "the-secret-of-workers")
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

    def variable_of(self, scope: str) -> str:
        return f"{self._names[scope]}_FILE"

    def permits(self, scope: str, secret: str) -> bool:
        try:
            match scope:
                case "scans":
                    self.guard.require_scanner(secret, None, None)
                case "admins":
                    self.guard.require_admin(f"Bearer {secret}")
                case "workers":
                    self.guard.require_worker(f"Bearer {secret}")
                case _:
                    self.guard.require_misskey(f"Bearer {secret}")
        except UnauthorisedError:
            return False
        return True

    def may_scan(self, secret: str) -> bool:
        return self.permits("scans", secret)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_old_and_new_are_accepted_together_and_then_the_new_one_alone(files: Files) -> None:
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (True, False)
    files.write("scans", f"{OLD}\n{NEW}\n")
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (True, True)
    files.write("scans", f"{NEW}\n")
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (False, True)


def test_an_admin_has_the_old_and_the_new_secret_for_a_while(files: Files) -> None:
    old, new = "Bearer the-secret-of-alice", "Bearer the-next-secret-of-alice"
    files.write("admins", "alice:the-secret-of-alice\nalice:the-next-secret-of-alice\n")
    assert (files.guard.require_admin(old), files.guard.require_admin(new)) == ("alice", "alice")
    files.write("admins", "alice:the-next-secret-of-alice\n")
    assert files.guard.require_admin(new) == "alice"
    with pytest.raises(UnauthorisedError):
        files.guard.require_admin(old)


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
    assert told.startswith("the secrets of PICTWARDEN_SECRETS stay as they were: ")
    assert not content or content not in told
    files.write("scans", NEW)
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (False, True)


@pytest.mark.parametrize("unusable", ["scans", "admins", "workers", "misskey"])
def test_an_unusable_file_delays_no_change_of_another_one(files: Files, unusable: str) -> None:
    revoked = {
        "scans": OLD,
        "admins": "the-secret-of-alice",
        "workers": "the-secret-of-workers",
        "misskey": "the-secret-of-misskey",
    }
    files.write(unusable, "too-short")
    for scope in revoked.keys() - {unusable}:
        files.write(scope, f"a-new-secret-for-{scope}")
    assert [scope for scope, secret in revoked.items() if files.permits(scope, secret)] == [unusable]
    assert all(files.permits(scope, f"a-new-secret-for-{scope}") for scope in revoked.keys() - {unusable})
    assert files.guard.unusable == (files.variable_of(unusable),)


@given(
    contents=st.lists(
        st.dictionaries(
            st.sampled_from(["A", "B", "C", "PICTWARDEN_SECRETS", "PICTWARDEN_ADMIN_SECRETS"]),
            st.lists(st.sampled_from([f"secret-{number}-of-somebody" for number in range(6)] + ["short"]), max_size=3),
        ),
        max_size=4,
    )
)
def test_no_secret_ever_names_two_and_every_other_change_counts(contents: list[dict[str, list[str]]]) -> None:
    sources = {name.lower(): SourceSettings(secrets_env=name) for name in "ABC"}
    environment = {name: f"the-first-secret-of-{name}" for name in "ABC"}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, name) for name in (*"ABC", "PICTWARDEN_SECRETS", "PICTWARDEN_ADMIN_SECRETS")}
        for name, file in files.items():
            file.touch(0o600)
            file.write_text(environment.get(name, ","), "utf-8")
        scopes = FollowedScopes(
            AuthenticationSettings(), sources, {f"{name}_FILE": str(file) for name, file in files.items()}
        )
        for changed in contents:
            for name, secrets in changed.items():
                files[name].write_text(",".join(secrets) or ",", "utf-8")
            unusable = scopes.unusable()
            now = scopes()
            owned = [(secret, source) for source, secret in now.scanners] + [(each, "") for _, each in now.admins]
            assert len({secret for secret, _ in set(owned)}) == len(set(owned))
            for name, source in (*((name, name.lower()) for name in "ABC"), ("PICTWARDEN_SECRETS", UNNAMED_SOURCE)):
                written = files[name].read_text("utf-8").strip(",").encode()
                counts = [secret for of_source, secret in now.scanners if of_source == source]
                assert f"{name}_FILE" in unusable or counts == list(filter(None, written.split(b",")))


def test_a_secret_that_two_files_have_changes_neither_of_them(files: Files) -> None:
    files.write("scans", NEW)
    files.write("misskey", NEW)
    files.write("admins", "bob:the-secret-of-bob-too")
    assert (files.may_scan(OLD), files.may_scan(NEW)) == (True, False)
    assert files.permits("misskey", "the-secret-of-misskey")
    assert files.guard.require_admin("Bearer the-secret-of-bob-too") == "bob"
    assert files.guard.unusable == ("PICTWARDEN_MISSKEY_SECRETS_FILE", "PICTWARDEN_SECRETS_FILE")


def test_each_change_that_leaves_a_file_unusable_is_told(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        files.write("scans", "too-short")
        assert [files.may_scan(OLD), files.may_scan(OLD)] == [True, True]
        files.write("misskey", "another-secret-of-misskey")
        assert files.may_scan(OLD)
    assert len([each for each in caplog.messages if "is too short" in each]) == 2


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
    assert "the secrets of PICTWARDEN_SECRETS stay as they were" in caplog.text
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
