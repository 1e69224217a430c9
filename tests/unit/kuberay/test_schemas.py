"""KubeRay and Kubernetes know every field of the manifests, and refuse a misspelt one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator

from .conftest import Manifest

# The spec of the RayService of KubeRay 1.6.2, of its config/crd/bases/ray.io_rayservices.yaml, without descriptions.
SCHEMA = Path(__file__).parents[2] / "golden" / "kuberay" / "rayservice-spec.json"
KUBERNETES = "1.31"
MISSPELT = "notAFieldOfAnything"

Path_ = tuple[str | int, ...]


def closed(schema: Any) -> Any:
    """The same schema, in which an object has the fields that it names and no other: Kubernetes drops those."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    of_object = {name: closed(each) for name, each in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema and schema.get("type") == "object":
        of_object["additionalProperties"] = False
    return of_object


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(closed(json.loads(SCHEMA.read_text("utf-8"))))


def objects(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Where the objects of a manifest are."""
    if isinstance(value, dict):
        yield path
        for name, each in value.items():
            yield from objects(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from objects(each, (*path, place))


def at(value: Any, path: Path_) -> Any:
    for each in path:
        value = value[each]
    return value


# These have names of their own choice.
FREE = ("labels", "matchLabels", "rayStartParams", "requests", "limits")


def test_kuberay_takes_every_field_of_the_rayservice(rayservice: Manifest, validator: Draft202012Validator) -> None:
    assert (rayservice["apiVersion"], rayservice["kind"]) == ("ray.io/v1", "RayService")
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(rayservice["spec"])]
    assert not errors


def test_and_would_refuse_a_misspelt_one_anywhere(rayservice: Manifest, validator: Draft202012Validator) -> None:
    spec = copy.deepcopy(rayservice["spec"])
    tried = [path for path in objects(spec) if not {*path[-1:]} & {*FREE}]
    assert len(tried) > 60
    for path in tried:
        # YAML's anchors make one object of several: a copy of the document has them apart.
        changed = json.loads(json.dumps(spec))
        at(changed, path)[MISSPELT] = "anything"
        assert not validator.is_valid(changed), path


def test_kubernetes_takes_every_field_of_the_others(plain_files: list[Manifest]) -> None:
    assert len(plain_files) == 7
    for manifest in plain_files:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_and_would_refuse_a_misspelt_one(plain_files: list[Manifest]) -> None:
    for manifest in plain_files:
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**manifest, MISSPELT: "anything"}, KUBERNETES, strict=True)


def test_what_kustomize_makes_of_them_is_as_valid(manifests: list[Manifest], validator: Draft202012Validator) -> None:
    for manifest in manifests:
        if manifest["kind"] == "RayService":
            validator.validate(manifest["spec"])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
