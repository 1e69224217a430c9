"""Plain values to settings, or to a line for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serve_app.domain import SettingsError
from serve_app.settings.changes import outdated, upgraded
from serve_app.settings.schema import Settings


def parse_settings(args: Mapping[str, Any]) -> Settings:
    """Settings from the plain values of a YAML mapping.

    Raises:
        SettingsError: one line for each thing that is wrong, with its key. Keys of earlier versions are wrong, too: the
            line says what became of them.
    """
    wrong = [f"  {change}" for change in outdated(args)]
    way_out = ["`pictwarden settings upgrade FILE` rewrites the keys of earlier versions"] if wrong else []
    settings = None
    try:
        settings = Settings.model_validate(upgraded(args))
    except ValidationError as error:
        wrong.append(wrong_keys(error))
    if wrong or settings is None:
        raise SettingsError("\n".join(["wrong settings (the args of serve_config.yaml):", *wrong, *way_out]))
    return settings


# Where pydantic speaks of its own kinds.
_PLAIN_WORDS = {
    "extra_forbidden": "there is no such key",
    "unexpected_keyword_argument": "there is no such key",
    "model_type": "is a section, with keys of its own",
    "dataclass_type": "is a section, with keys of its own",
}


def wrong_keys(error: ValidationError) -> str:
    """One line for each thing that is wrong, with its key."""
    return "\n".join(map(_wrong_key, error.errors()))


def _wrong_key(each: ErrorDetails) -> str:
    # Of a mapping whose keys are checked, pydantic says "[key]" behind the key.
    key = ".".join(str(part) for part in each["loc"] if part != "[key]")
    return f"  {key}: {_PLAIN_WORDS.get(each['type'], each['msg'].removeprefix('Value error, '))}"
