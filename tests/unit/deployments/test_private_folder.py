"""A folder that nobody else can enter, or exchange for another."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from deployments.private_folder import create_private_folder, private_folder, require_private, require_unexchangeable
from serve_app.domain import SettingsError


def test_it_is_this_users_alone_and_gone_at_the_end():
    with private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == os.geteuid()
        (folder / "h").mkdir()
        assert require_private(folder) == folder
    assert not folder.exists()


def test_its_name_cannot_be_guessed():
    with private_folder() as first, private_folder() as second:
        assert first.name != second.name


def test_a_temporary_folder_that_is_too_deep_for_sockets_is_not_taken(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with private_folder() as folder:
        assert folder.parent == Path("/tmp").resolve()


def test_where_others_could_exchange_it_is_no_place_for_it(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(SettingsError, match="another user can replace"):
        require_unexchangeable(tmp_path)
    tmp_path.chmod(0o1777)
    require_unexchangeable(tmp_path)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_a_folder_that_is_given_must_be_closed(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(SettingsError, match="0700"):
        require_private(tmp_path)


def test_a_folder_that_is_given_must_be_short_enough_for_sockets(tmp_path):
    deep = tmp_path / ("x" * 80)
    deep.mkdir(mode=0o700)
    with pytest.raises(SettingsError, match="too long"):
        require_private(deep)


def test_one_that_is_not_removed_is_the_callers():
    folder = create_private_folder()
    assert folder.is_dir()
    folder.rmdir()
