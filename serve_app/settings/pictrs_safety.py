"""The environment of pictrs-safety, which this service replaces: what has a meaning here, and what has none.

lemmy-ansible and pictrs-safety's own compose sample deploy it with these variables. None of them weakens what this
service does by itself: ids that can be guessed permit nothing, and addresses are trusted in the settings alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

from serve_app.domain import OnUnscanned
from serve_app.host.secret_files import MIN_SECRET_CHARACTERS, why_unusable
from serve_app.logs.redaction import hide_secrets
from serve_app.settings.ledger import MEMORY, is_postgresql
from serve_app.settings.schema import Settings
from serve_app.wire import WORKER_SECRETS_ENV

KNOWN_IDS_ENV = "KNOWN_PICTRS_IDS"

_INSTEAD = "PICTRS__MEDIA__EXTERNAL_VALIDATION=http://HOST:14051/api/v1/scan/SECRET"

_BYPASSES = ("SCAN_BYPASS_THRESHOLD", "MISSING_WORKER_THRESHOLD")
_WORKER_AUTH = "FEDIVERSE_SAFETY_WORKER_AUTH"
_IMAGE_FOLDER = "FEDIVERSE_SAFETY_IMGDIR"
_KNOWN_ADDRESSES = "KNOWN_PICTRS_IPS"
_SESSION_KEY = "secret_key"
_USE_SQLITE = "USE_SQLITE"
_DATABASES = ("POSTGRES_", "SQLALCHEMY_DATABASE_URI")

# pictrs-safety starts with none of the others alone; their names are too common to speak of.
_ITS_OWN = (_WORKER_AUTH, _IMAGE_FOLDER, KNOWN_IDS_ENV, _KNOWN_ADDRESSES, *_BYPASSES)


def known_ids(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The ids of ``KNOWN_PICTRS_IDS`` that permit scans: those that nobody can guess. No log line shows them."""
    ids = tuple(each for each in _listed_ids(environment) or () if not why_unusable(each))
    hide_secrets(ids)
    return ids


def notices(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[str]:
    """What an admin has to know of each variable of pictrs-safety that does not do here what it did there."""
    if not any(environment.get(name) for name in _ITS_OWN):
        return []
    given = {name: value for name, value in environment.items() if value}
    return [
        *_about_callers(settings, given),
        *_about_unscanned(settings, given),
        *_about_workers(settings, given),
        *_about_database(settings, given),
    ]


def _listed_ids(environment: Mapping[str, str]) -> list[str] | None:
    """None if the variable has another form than pictrs-safety reads."""
    try:
        listed = json.loads(environment.get(KNOWN_IDS_ENV) or "[]")
    except ValueError:
        return None
    return listed if isinstance(listed, list) and all(isinstance(each, str) for each in listed) else None


def _about_callers(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    listed = _listed_ids(given)
    if listed is None:
        yield f'{KNOWN_IDS_ENV} is not read: write a list as in ["ID","ID"]'
    elif unusable := [each for each in listed if why_unusable(each)]:
        yield (
            f"{len(unusable)} of the {len(listed)} ids in {KNOWN_IDS_ENV} permit nothing here: an id is a secret, so "
            f"use at least {MIN_SECRET_CHARACTERS} printable ASCII characters, or set {_INSTEAD} for pict-rs"
        )
    if _KNOWN_ADDRESSES in given:
        yield (
            f"{_KNOWN_ADDRESSES} is not read: set {_INSTEAD} for pict-rs; if its URL has to end in IPADDR, list its "
            "network as authentication.trusted_networks"
        )
    elif not settings.authentication.trusted_networks and not known_ids(given):
        yield (
            "a pict-rs whose URL ends in IPADDR, as that of lemmy-ansible, is refused: an address is no secret, and "
            f"Docker's proxy gives its own to strangers. Set {_INSTEAD} for pict-rs"
        )


def _about_unscanned(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    # Zero means: never let a picture through unscanned.
    names = [name for name in _BYPASSES if given.get(name, "0").strip() != "0"]
    if names and settings.on_unscanned is OnUnscanned.REJECT:
        yield (
            f"{' and '.join(names)} let no picture through here: what cannot be scanned in time is refused. Set "
            "on_unscanned: accept to store it; such pictures are recorded, and scanned later"
        )


def _about_workers(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    if _WORKER_AUTH in given and settings.remote is not None and settings.remote.fedi_safety:
        yield (
            f"{_WORKER_AUTH} is not read: set {WORKER_SECRETS_ENV} to NAME:SECRET, and PICTRS_SAFETY_APIKEY of the "
            "workers of fedi-safety to that secret"
        )
    elif _WORKER_AUTH in given:
        yield f"{_WORKER_AUTH} has no meaning here: this service scans by itself, so stop the workers of fedi-safety"
    if useless := [name for name in (_IMAGE_FOLDER, _SESSION_KEY) if name in given]:
        yield (
            f"{' and '.join(useless)} {'has' if len(useless) == 1 else 'have'} no meaning here: no picture is written "
            "to a disk, and there are no sessions"
        )


def _about_database(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    names = sorted(name for name in given if name.startswith(_DATABASES))
    if given.get(_USE_SQLITE, "1").strip() != "1":
        names.insert(0, _USE_SQLITE)
    ledger = settings.ledger
    if names and (ledger is None or ledger == MEMORY or not is_postgresql(ledger)):
        yield (
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not read: decisions are recorded in a SQLite "
            "file. For PostgreSQL, set ledger: postgresql://USER@HOST/DATABASE and the password in PGPASSWORD"
        )
