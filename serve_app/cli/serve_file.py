"""A configuration for one machine, read from a file, with the options of the command.

Every error is one line that names the file, and for YAML the line and column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from serve_app.domain import SettingsError
from serve_app.settings.presets import PRESETS

HTTP_OPTIONS: Mapping[str, Any] = {"host": "127.0.0.1", "port": 14051}
"""Of a configuration without them: pictrs-safety's port, and not Serve's own 8000."""


PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Preset, instead of the configuration's: see `pictwarden presets`.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model, instead of the configuration's model.source.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="Policy, instead of the configuration's policy.")]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options of a command say instead of the configuration's preset, policy or model."""

    preset: str | None = None
    policy: str | None = None
    model: str | None = None

    def applied(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """``args`` with the choice in them.

        A policy or a model replaces that of a preset; the other one of the preset stays, as far as they fit.

        Raises:
            SettingsError: a preset beside one of the others.
        """
        beside = [f"--{name}" for name in ("policy", "model") if getattr(self, name)]
        if self.preset and beside:
            raise SettingsError(
                f"--preset {self.preset} stands for a policy and its models: remove {' and '.join(beside)}, or --preset"
            )
        if not self:
            return dict(args)
        left = {key: value for key, value in args.items() if key not in ("preset", "policy", "model")}
        model = dict(args.get("model") or {})
        if self.preset:
            model.pop("source", None)
            chosen = {"preset": self.preset}
        else:
            was = PRESETS.get(str(args.get("preset")))
            policy = self.policy or (was.policy if was else args.get("policy"))
            model |= {"source": self.model} if self.model else {}
            chosen = {"policy": policy} if policy else {}
        return left | chosen | ({"model": model} if model else {})

    def __bool__(self) -> bool:
        return self != Choice()


def read_serve_file(file: Path, choice: Choice = Choice(), *, is_default: bool = False) -> dict[str, Any]:
    """The configuration, with ``http_options`` and the first application's ``args``, whether or not the file has them.

    Args:
        file: of the form of ``serve_config.yaml``.
        choice: instead of what the file says.
        is_default: nobody has chosen this file, so that another preset or model replaces its whole section ``model``.

    Raises:
        SettingsError: the file is unreadable, or is not a configuration.
    """
    name = str(file)
    config = _mapping(parsed(read_text(file), name), name, "a Serve configuration", "see serve_config.yaml")
    applications = config.get("applications")
    if not isinstance(applications, list) or not applications:
        raise SettingsError(f"{name}: `applications` is missing or not a list: see serve_config.yaml")
    application = _mapping(applications[0], name, "the first of `applications`", "it names its import_path and args")
    if not application.get("import_path"):
        raise SettingsError(f"{name}: the first of `applications` has no `import_path`: see serve_config.yaml")
    args = _mapping(application.get("args") or {}, name, "`args`", "its keys are explained in serve_config.yaml")
    http = _mapping(config.get("http_options") or {}, name, "`http_options`", "it has a host and a port")
    deployments = application.get("deployments") or []
    _require_known_deployments(deployments, name)
    if choice:
        _mapping(args.get("model") or {}, name, "`args.model`", "it has a source")
    if is_default and (choice.preset or choice.model):
        args.pop("model", None)
    application["args"], application["deployments"] = choice.applied(args), deployments
    config["logging_config"] = _mapping(
        config.get("logging_config") or {}, name, "`logging_config`", "it has a log_level"
    )
    config["http_options"] = {**HTTP_OPTIONS, **http}
    return config


def read_text(file: Path) -> str:
    """The text of a configuration file.

    Raises:
        SettingsError: the file is unreadable, or is not text.
    """
    try:
        return file.read_bytes().decode("utf-8")  # with its line ends as they are
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: is not UTF-8 text: byte {error.start} is wrong") from error


def parsed(text: str, name: str) -> Any:
    """The plain values of a YAML text.

    Raises:
        SettingsError: it is not YAML; with line and column, where they are known.
    """
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        said = ", ".join(filter(None, (error.context, error.problem)))
        raise SettingsError(f"{name}{place}: is not YAML: {said}") from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise SettingsError(f"{name}:{line}:{column}: is not YAML: a forbidden character") from error
    except ValueError as error:  # a date such as 2026-13-45
        raise SettingsError(f"{name}: is not YAML: {error}") from error
    except RecursionError as error:  # a thousand brackets
        raise SettingsError(f"{name}: is not YAML: nested too deeply") from error


def _require_known_deployments(deployments: Any, name: str) -> None:
    is_list = isinstance(deployments, list)
    if not is_list or not all(isinstance(each, Mapping) and "name" in each for each in deployments):
        raise SettingsError(f"{name}: `deployments` must be a list of mappings with a `name`: see serve_config.yaml")


def _mapping(value: Any, name: str, what: str, hint: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{name}: {what} must be a mapping and is {_kind(value)}: {hint}")
    return value


def _kind(value: Any) -> str:
    kinds = {type(None): "empty", list: "a list", str: "a text", bool: "a truth value", int: "a number"}
    return kinds.get(type(value), "something else")
