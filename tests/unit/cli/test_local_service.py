"""The secret and the URL that the commands of one machine share: private, kept, and second to the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from serve_app.cli.local_service import known_url, provide_worker_secret, store_url, stored_secret
from serve_app.domain import SettingsError

STATE = Path(".pictwarden")


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.mark.usefixtures("folder")
def test_a_secret_is_made_once_and_kept_for_its_owner_alone() -> None:
    secret = stored_secret()
    assert len(secret) >= 32
    assert stored_secret() == secret
    assert (mode(STATE), mode(STATE / "secret")) == ("0o700", "0o600")


def test_another_folder_has_another_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = stored_secret()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert stored_secret() != here


@pytest.mark.usefixtures("folder")
def test_an_empty_secret_file_is_not_a_secret() -> None:
    STATE.mkdir()
    (STATE / "secret").touch()
    assert len(stored_secret()) >= 32


@pytest.mark.parametrize(("environment", "secret"), [("one", "one"), (" one , two", "one")])
@pytest.mark.usefixtures("folder")
def test_the_environments_secret_wins_and_is_not_written(
    monkeypatch: pytest.MonkeyPatch, environment: str, secret: str
) -> None:
    monkeypatch.setenv("PICTWARDEN_SECRETS", environment)
    assert stored_secret() == secret
    assert not STATE.exists()


@pytest.mark.usefixtures("folder")
def test_no_url_is_known_before_a_service_was_started() -> None:
    assert known_url() is None


@pytest.mark.usefixtures("folder")
def test_the_last_url_is_known_and_private() -> None:
    store_url("http://127.0.0.1:8000/api/v1/scan/a-rather-long-first-secret")
    assert store_url("http://127.0.0.1:8000/api/v1/scan/second") == Path.cwd() / STATE / "url"
    assert known_url() == "http://127.0.0.1:8000/api/v1/scan/second"
    assert mode(STATE / "url") == "0o600"


@pytest.mark.usefixtures("folder")
def test_the_environments_url_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    store_url("http://127.0.0.1:8000/api/v1/scan/kept")
    monkeypatch.setenv("PICTWARDEN_URL", "http://10.0.0.7/api/v1/scan/other")
    assert known_url() == "http://10.0.0.7/api/v1/scan/other"


@pytest.mark.usefixtures("folder")
def test_the_variable_that_the_configuration_names_is_the_one_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOTHER_NAME", "its secret, and the next")
    assert stored_secret("ANOTHER_NAME") == "its secret"


def test_where_nothing_can_be_kept_the_way_out_is_one_line(folder: Path) -> None:
    STATE.write_text("a file where the folder is to be", "ascii")
    with pytest.raises(SettingsError) as raised:
        stored_secret()
    assert str(raised.value).startswith(f"the secret cannot be stored in {folder / STATE / 'secret'} (")
    assert "set PICTWARDEN_SECRETS to a secret of at least 16 characters" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_a_url_that_cannot_be_kept_is_no_error() -> None:
    STATE.write_text("a file where the folder is to be", "ascii")
    assert store_url("http://127.0.0.1:8000/api/v1/scan/secret") is None
    assert known_url() is None


@pytest.mark.parametrize("others", ["", ":/somewhere/else"])
def test_under_systemd_the_state_is_in_the_units_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    state = folder / "var" / "lib" / "pictwarden"
    state.mkdir(parents=True)
    monkeypatch.setenv("STATE_DIRECTORY", f"{state}{others}")
    secret = stored_secret()
    assert (state / "secret").read_text("ascii").strip() == secret
    assert store_url("http://127.0.0.1:14051/api/v1/scan/secret") == state / "url"
    assert known_url() == "http://127.0.0.1:14051/api/v1/scan/secret"
    assert (mode(state / "secret"), mode(state / "url")) == ("0o600", "0o600")
    assert not STATE.exists()


@pytest.mark.usefixtures("folder")
def test_the_secret_of_workers_is_another_one_and_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTWARDEN_WORKER_SECRETS", "")
    monkeypatch.setenv("PICTWARDEN_WORKER_SECRETS_FILE", "")
    file = provide_worker_secret()
    assert file == (STATE / "worker-secret").absolute()
    assert os.environ["PICTWARDEN_WORKER_SECRETS_FILE"] == str(file), "so that a change of it counts"
    secret = file.read_text("ascii").strip()
    assert secret == stored_secret("PICTWARDEN_WORKER_SECRETS")
    assert secret != stored_secret()
    assert mode(file) == "0o600"


@pytest.mark.usefixtures("folder")
def test_the_secrets_of_workers_in_the_environment_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTWARDEN_WORKER_SECRETS", "alice:a-secret-of-a-desktop")
    assert provide_worker_secret() is None
    assert not STATE.exists()
