"""What ``build_app`` refuses before anything is deployed, and how the stages' limits fit each other."""

import hashlib
from pathlib import Path

import pytest
import yaml
from ray.serve.deployment import Application

from deployments.environment_check import read_args_for_ray, require_closed_ray
from deployments.graph import build_app
from deployments.ray_environment import FAST_SETTINGS, fresh_token_settings, is_behind_haproxy
from serve_app.cli.serve_file import read_serve_file
from serve_app.domain import Lane, ModelError, OnTruncated, PolicyError, SettingsError, output_of
from serve_app.domain.limits import DECODE_SHARE
from serve_app.policy import Policies, labels_of, load_policy, shipped_text
from serve_app.settings import ModelSettings

SERVE_CONFIG = Path(__file__).parents[3] / "serve_config.yaml"
LOCAL_CONFIG = Path(__file__).parents[3] / "deployments" / "local.yaml"


def test_the_defaults_build():
    assert build_app({}) is not None


def test_the_limits_and_lanes_of_the_settings_are_those_of_the_preprocessor():
    args = {"limits": {"max_pixels": 7, "max_decode_s": 5}, "truncated": {"live": "scan"}, "deadline_s": 2}
    limits, on_truncated, *_ = list(build_app(args)._bound_deployment.init_args)[2]._bound_deployment.init_args
    # A decode may not outlast the time that it is given.
    assert (limits.max_pixels, limits.max_decode_s) == (7, 2 * DECODE_SHARE)
    assert on_truncated == {Lane.LIVE: OnTruncated.SCAN, Lane.BACKGROUND: OnTruncated.SCAN}


def test_an_unknown_setting_is_refused_with_its_name():
    with pytest.raises(SettingsError, match="deadlin"):
        build_app({"deadlin": 8})


def test_a_policy_for_another_model_is_refused():
    with pytest.raises(PolicyError, match="belongs to the model"):
        build_app({"model": {"source": "ViT-L-14/openai"}})


def test_a_model_that_names_nothing_is_refused():
    with pytest.raises(ModelError, match="neither"):
        build_app({"model": {"source": "what"}})


def test_trust_by_address_is_refused_where_the_address_cannot_be_known(monkeypatch):
    args = {"authentication": {"trusted_networks": ["10.0.0.0/24"]}}
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    assert build_app(args) is not None
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1"):
        build_app(args)


def test_a_body_that_would_not_travel_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH", "67108864")
    with pytest.raises(SettingsError, match="RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH="):
        build_app({"limits": {"max_body_bytes": "200MB"}})


def test_the_fast_settings_front_with_haproxy():
    assert is_behind_haproxy(FAST_SETTINGS)
    assert not is_behind_haproxy({})


@pytest.mark.parametrize("mode", [None, "", "tokens"])
def test_a_cluster_without_a_token_is_refused_with_the_way_out(monkeypatch, mode):
    monkeypatch.delenv("RAY_AUTH_MODE")
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(SettingsError, match="RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN"):
        build_app({})


def test_a_cluster_that_is_open_on_purpose_is_warned_of(caplog):
    require_closed_ray({"RAY_AUTH_MODE": "token"})
    assert caplog.messages == []
    require_closed_ray({"RAY_AUTH_MODE": "Disabled"})
    (told,) = caplog.messages
    assert "let a firewall keep everybody else out" in told


def test_each_start_has_a_token_of_its_own():
    first, second = fresh_token_settings(), fresh_token_settings()
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]


def bound(application):
    """The deployment of an application and those that it was given."""
    deployment = application._bound_deployment
    yield deployment
    for argument in deployment.init_args:
        if isinstance(argument, Application):
            yield from bound(argument)


def test_no_stage_is_full_before_the_ingress_replicas_are():
    # Serve asks a replica that was full again after pauses in which it idles: 4 pictures a second where 80 can be had.
    options = {each.name: each._deployment_config for each in bound(build_app({}))}
    inside = options["Ingress"].max_ongoing_requests + options["Ingress"].max_queued_requests
    assert options["Preprocessor"].max_ongoing_requests > inside
    assert options["ClipScorer"].max_ongoing_requests > inside


def test_where_workers_elsewhere_score_one_small_replica_takes_the_scorer_s_place():
    options = {each.name: each for each in bound(build_app({"preset": "demo", "remote": {"port": 14099}}))}
    assert set(options) == {"Ingress", "Preprocessor", "RemoteScorer"}
    scorer = options["RemoteScorer"]
    assert scorer._deployment_config.num_replicas == 1
    assert scorer._deployment_config.autoscaling_config is None
    assert scorer.ray_actor_options["num_cpus"] < 1
    assert not scorer.ray_actor_options.get("num_gpus")
    inside = options["Ingress"]._deployment_config
    assert scorer._deployment_config.max_ongoing_requests > inside.max_ongoing_requests + inside.max_queued_requests
    settings, sets, policies, _, heads = scorer.init_args
    assert (settings.remote.port, sets[0], policies[0].name) == (14099, policies[0].labels, "demo-red-triangle")
    assert not heads


def test_heads_are_read_where_the_graph_is_built_and_travel_to_the_replica(tmp_path):
    content = b"the content of a file"
    (tmp_path / "spam.safetensors").write_bytes(content)
    policy = tmp_path / "p.yaml"
    concept = f"{{score: head, file: spam.safetensors, digest: '{hashlib.sha256(content).hexdigest()}'}}"
    rule = "{name: spam, verdict: flag, when: {concept: spam, above: 0.5}}"
    policy.write_text(f"policy: p\nmodel: fake\nconcepts:\n  spam: {concept}\nrules:\n  - {rule}\n", "utf-8")
    args = {"policy": str(policy), "model": {"source": "fake"}, "remote": {"port": 14099}}
    scorer = {each.name: each for each in bound(build_app(args))}["RemoteScorer"]
    *_, heads = scorer.init_args
    assert list(heads.values()) == [content]


def test_scores_that_nobody_could_forget_are_not_recorded():
    with pytest.raises(SettingsError, match="out of reach for RemoteScorer"):
        build_app({"preset": "demo", "remote": {}, "ledger": "memory"})


def test_nor_is_one_of_the_documented_cluster():
    config = yaml.safe_load(SERVE_CONFIG.read_text("utf-8"))["applications"][0]
    stages = {each["name"]: each for each in config["deployments"]}
    ingress = stages["Ingress"]
    inside = ingress["num_replicas"] * (ingress["max_ongoing_requests"] + ingress["max_queued_requests"])
    assert stages["Preprocessor"]["max_ongoing_requests"] > inside
    assert stages["ClipScorer"]["max_ongoing_requests"] > max(inside, ModelSettings.max_queued_views)


def test_the_file_of_make_run_is_one_that_can_be_served():
    config = read_serve_file(LOCAL_CONFIG)
    assert config["http_options"]["port"] == 14051
    settings, policies = read_args_for_ray(config["applications"][0]["args"])
    assert (settings.preset, settings.model.source, policies.of_service.name) == (
        "starter",
        "embedded:demo-shapes",
        "starter",
    )


@pytest.mark.parametrize("classifier", ["nsfwjs", "nsfwjs-inception"])
def test_the_scorer_scores_what_misskey_asks_for_apart(classifier: str) -> None:
    ingress = list(build_app({"preset": "demo", "misskey": {"classifier": classifier}})._bound_deployment.init_args)
    of_policy, of_misskey = ingress[3]._bound_deployment.init_args[1]
    assert of_policy == load_policy("shipped:demo-red-triangle").labels
    outputs = [output_of(each) for each in of_misskey]
    assert outputs == [(classifier, each) for each in ("drawing", "hentai", "neutral", "porn", "sexy")]


def test_the_scorer_scores_the_prompts_of_a_policy_on_trial_too(tmp_path: Path) -> None:
    shadow = tmp_path / "on-trial.yaml"
    shadow.write_text(shipped_text("demo-red-triangle").replace("a heart", "an arrow"), "utf-8")
    ingress = list(build_app({"preset": "demo", "shadow_policy": str(shadow)})._bound_deployment.init_args)
    (labels,) = ingress[3]._bound_deployment.init_args[1]
    assert labels == labels_of(load_policy("shipped:demo-red-triangle"), load_policy(shadow))
    assert labels[-1] == "an arrow"
    assert ingress[1] == Policies(load_policy("shipped:demo-red-triangle"), {}, load_policy(shadow))


def test_the_policies_of_sources_are_read_where_the_application_is_built(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(shipped_text("demo-red-triangle").replace("a heart", "an arrow"), "utf-8")
    sources = {"a": {"secrets_env": "A", "policy": str(own)}, "b": {"secrets_env": "B"}}
    ingress = list(build_app({"preset": "demo", "sources": sources})._bound_deployment.init_args)
    own.unlink()
    of_service, of_source = ingress[3]._bound_deployment.init_args[1]
    assert (set(of_service) - set(of_source), set(of_source) - set(of_service)) == ({"a heart"}, {"an arrow"})
    assert {name: policy.labels for name, policy in ingress[1].of_sources.items()} == {"a": of_source}
