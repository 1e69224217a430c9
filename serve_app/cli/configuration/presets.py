"""``pictwarden presets``: which there are, and what each of them says of itself."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from serve_app.settings.presets import CALIBRATION, DEFAULT, PRESETS


def presets(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False) -> None:
    """List the presets: what each protects from, what it needs, and what is known of its thresholds."""
    for each in PRESETS.values():
        if as_json:
            described = {
                "preset": each.name,
                "policy": each.policy,
                "protects": each.protects,
                "needs": each.needs,
                "calibration": CALIBRATION,
                "notices": each.notices,
                "is_default": each is DEFAULT,
            }
            typer.echo(json.dumps(described))
        else:
            typer.echo(str(each))
