"""The args of an application: settings and a policy that fit each other, whatever runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve_app.composition.configuration import read_args
from serve_app.domain import ConfigurationError, ModelError, PolicyError, SettingsError
from serve_app.policy import shipped_text

NSFW_ALONE = """\
policy: no-sexual-content
concepts: {nsfw: {score: classifier, model: open-nsfw, output: nsfw}}
rules: [{name: nsfw, verdict: reject, when: {concept: nsfw, above: 0.8}}]
"""
BESIDE_PROMPTS = NSFW_ALONE.replace(
    "concepts: {", "model: demo-shapes\nconcepts: {red: {score: cosine, prompts: [x]}, "
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Policy files: with a classifier alone, and with one beside prompts."""
    texts = {"alone": NSFW_ALONE, "beside": BESIDE_PROMPTS}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
    return {name: str(tmp_path / f"{name}.yaml") for name in texts}


@pytest.mark.parametrize("model", [{}, {"source": None}, {"device": "cpu"}])
def test_a_policy_without_prompts_has_no_model_of_prompts(files: dict[str, str], model: dict[str, Any]) -> None:
    settings, policies = read_args({"policy": files["alone"], "model": model})
    assert (settings.model.source, policies.of_service.models) == (None, ("open-nsfw",))
    assert settings.model.device == model.get("device", "auto")


def test_a_model_that_nothing_would_ask_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(PolicyError, match=r"has neither prompts nor heads.*'embedded:demo-shapes'.*set it to null"):
        read_args({"policy": files["alone"], "model": {"source": "embedded:demo-shapes"}})


@pytest.mark.parametrize("shadow", ["beside", None])
@pytest.mark.parametrize("model", [{}, {"source": None}])
def test_prompts_of_either_policy_have_the_model_that_it_names(
    files: dict[str, str], shadow: str | None, model: dict[str, Any]
) -> None:
    chosen = {"policy": files["alone"], "shadow_policy": files[shadow]} if shadow else {"policy": files["beside"]}
    settings, _ = read_args({**chosen, "model": model})
    assert settings.model.source == "embedded:demo-shapes"


def test_the_defaults_fit_each_other() -> None:
    settings, policies = read_args({})
    assert (policies.shadow, policies.of_sources) == (None, {})
    assert (settings.preset, settings.model.source, policies.of_service.name) == (
        "starter",
        "embedded:demo-shapes",
        "starter",
    )


def test_a_policy_on_trial_beside_a_preset_may_have_no_prompts() -> None:
    _, policies = read_args({"preset": "csam", "shadow_policy": "shipped:nsfw"})
    assert policies.shadow is not None
    assert policies.shadow.model is None


@pytest.mark.parametrize("args", [{"preset": "csam-fast"}, {"policy": "shipped:csam-fast"}])
def test_a_model_that_nobody_names_is_that_of_the_policy(args: dict[str, Any]) -> None:
    settings, policies = read_args(args)
    assert (settings.model.source, settings.policy) == ("ViT-B-32/laion2b_s34b_b79k", "shipped:csam-fast")
    assert (settings.preset, settings.policy_source) == (args.get("preset"), "shipped:csam-fast")
    assert policies.of_service.model == settings.model.source


def test_a_model_in_a_folder_has_to_be_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(shipped_text("csam").replace("model: ViT-L-14/openai", "model: my-clip"), "utf-8")
    with pytest.raises(ModelError, match=r"'my-clip' .*: give its folder as model\.source"):
        read_args({"policy": str(file)})
    settings, *_ = read_args({"policy": str(file), "model": {"source": f"{tmp_path}/my-clip"}})
    assert settings.model.source == f"{tmp_path}/my-clip"


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        ({"deadlin": 8}, SettingsError, "deadlin: "),
        ({"policy": "shipped:nothing-like-it"}, PolicyError, "nothing-like-it"),
        ({"model": {"source": "what"}}, ModelError, "neither"),
        ({"model": {"source": "ViT-L-14/openai"}}, PolicyError, "belongs to the model"),
        ({"shadow_policy": "shipped:csam"}, PolicyError, "shadow_policy csam belongs to the model"),
        ({"shadow_policy": "shipped:nothing-like-it"}, PolicyError, "nothing-like-it"),
    ],
)
def test_what_is_wrong_is_found_before_anything_starts(
    args: dict[str, Any], error: type[ConfigurationError], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_args(args)


def of_source(**keys: Any) -> dict[str, Any]:
    return {"a": {"secrets_env": "SECRETS_A", **keys}, "b": {"secrets_env": "SECRETS_B"}}


def test_a_source_has_a_policy_of_its_own_or_the_service_s(files: dict[str, str]) -> None:
    for keys, name in (({"policy": files["alone"]}, "no-sexual-content"), ({"preset": "nsfw"}, "nsfw")):
        settings, policies = read_args({"preset": "demo", "sources": of_source(**keys)})
        assert {source: policies.of(source).name for source in "ab"} == {"a": name, "b": "demo-red-triangle"}
        assert (settings.model.source, policies.of_service.name) == ("embedded:demo-shapes", "demo-red-triangle")


def test_prompts_of_a_source_have_the_model_that_its_policy_names(files: dict[str, str]) -> None:
    settings, _ = read_args({"policy": files["alone"], "sources": of_source(policy=files["beside"])})
    assert settings.model.source == "embedded:demo-shapes"


@pytest.mark.parametrize(
    ("args", "keys", "error", "says"),
    [
        ({}, {"policy": "shipped:nothing"}, PolicyError, r"sources\.a: .*nothing"),
        ({}, {"preset": "csam"}, PolicyError, r"csam of sources\.a belongs to the model 'ViT-L-14/openai', but"),
        (
            {"preset": "csam-fast", "model": {"engine": "openvino-int8"}},
            {"preset": "csam"},
            PolicyError,
            r"one CLIP model for all sources, or a service of its own for a",
        ),
    ],
)
def test_a_policy_of_a_source_that_cannot_be_served_is_refused(
    args: dict[str, Any], keys: dict[str, Any], error: type[ConfigurationError], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_args({**args, "sources": of_source(**keys)})


def test_a_quantised_engine_was_compared_under_one_policy(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(shipped_text("csam-fast").replace("policy: csam-fast", "policy: mine"), "utf-8")
    args = {"preset": "csam-fast", "sources": of_source(policy=str(file))}
    read_args(args)
    read_args({**args, "model": {"engine": "openvino-int8"}, "sources": of_source(preset="csam-fast")})
    with pytest.raises(SettingsError, match=r"sources\.a has another one, mine"):
        read_args({**args, "model": {"engine": "openvino-int8"}})
