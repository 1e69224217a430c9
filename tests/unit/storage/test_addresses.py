"""Addresses of stores elsewhere: what they name, and what is refused in them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import pytest

from serve_app.domain import SettingsError
from serve_app.storage.scan.stores.addresses import Bucket, Server, url_of
from serve_app.storage.scan.stores.opening import open_source


@pytest.mark.parametrize(
    ("address", "bucket", "url"),
    [
        ("pictures", Bucket("pictures", ""), "s3://pictures"),
        ("pictures/", Bucket("pictures", ""), "s3://pictures"),
        ("pictures/media/", Bucket("pictures", "media/"), "s3://pictures/media"),
        ("pictures/a b/%20?#", Bucket("pictures", "a b/%20?#/"), "s3://pictures/a b/%20?#"),
        ("pictures//a", Bucket("pictures", "/a/"), "s3://pictures//a"),
    ],
)
def test_a_bucket_is_named(address: str, bucket: Bucket, url: str) -> None:
    assert Bucket.of(address) == bucket
    assert bucket.url == url


@pytest.mark.parametrize(
    ("address", "server", "url"),
    [
        ("host/srv/media/", Server(None, "host", None, "/srv/media"), "sftp://host/srv/media"),
        ("me@host:2222/srv", Server("me", "host", 2222, "/srv"), "sftp://me@host:2222/srv"),
        ("me@[::1]:22/", Server("me", "::1", 22, "/"), "sftp://me@[::1]:22/"),
        ("[::1]/srv", Server(None, "::1", None, "/srv"), "sftp://[::1]/srv"),
        ("me@host/a@b:c?d#e", Server("me", "host", None, "/a@b:c?d#e"), "sftp://me@host/a@b:c?d#e"),
    ],
)
def test_a_server_is_named(address: str, server: Server, url: str) -> None:
    assert Server.of(address) == server
    assert server.url == url


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("s3://", "names no bucket: its form is s3://BUCKET/PREFIX"),
        ("s3:pictures", "names no store"),
        ("sftp://host", "names no folder of a server: its form is sftp://USER@HOST:PORT/PATH"),
        ("sftp:///srv", "names no folder of a server"),
        ("sftp://@host/srv", "names no folder of a server"),
        ("sftp://host:0/srv", "0 is no port"),
        ("sftp://host:65536/srv", "65536 is no port"),
        ("sftp://host:x/srv", "x is no port"),
        ("s3://AKIA:a-secret@pictures/media", "no credentials in it: set AWS_ACCESS_KEY_ID"),
        ("sftp://me:a-secret@host/srv", "no password in it: log in with a key of ssh-agent"),
    ],
)
def test_what_names_none_or_has_a_secret_is_refused(named: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as error:
        open_source(named)
    assert "a-secret" not in str(error.value)


@pytest.mark.parametrize(("named", "extra"), [("s3://pictures", "s3"), ("sftp://host/srv", "sftp")])
def test_a_library_that_is_not_installed_is_named(named: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], object] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("aiobotocore", "asyncssh") else find(name)
    )
    with pytest.raises(SettingsError, match=rf"is not installed: run `.* -m pip install -e '\.\[{extra}\]'`"):
        open_source(named)


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("pictrs:", "pictrs:http://own:8080"),
        ("pictrs:http://other:8080/", "pictrs:http://other:8080"),
        ("file:/srv/../srv/media/", "file:/srv/media"),
        ("/srv//media", "file:/srv/media"),
        ("s3://pictures/media/", "s3://pictures/media"),
        ("sftp://me@host/srv/media/", "sftp://me@host/srv/media"),
        (os.fsdecode(b"sftp://host/\xff"), "sftp://host/\\xff"),
    ],
)
def test_each_store_has_one_form(named: str, url: str) -> None:
    assert url_of(named, "http://own:8080") == url
    assert url_of(url, None) == url
