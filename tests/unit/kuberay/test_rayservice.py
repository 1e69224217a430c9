"""What the manifests of examples/kuberay say of the service is true of it, and they agree with each other."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.drain import MOVE_LIMIT_S
from deployments.haproxy.front_end import drain_limit_s
from deployments.private_folder import private_folder
from serve_app.cli.serve_file import read_serve_file
from serve_app.host.secret_files import read_secret, read_secrets
from serve_app.settings import parse_settings
from serve_app.wire import SCAN_PATH

from .conftest import EXAMPLE, ROOT, Manifest

CONFIG = EXAMPLE / "serve_config.yaml"
SECRETS = "/run/secrets/pictwarden"
START = ("command", "args", "env", "volumeMounts", "securityContext")
# The sleep, and the starts of Python.
PRE_STOP_MARGIN_S = 15.0


def groups(rayservice: Manifest) -> dict[str, dict[str, Any]]:
    cluster = rayservice["spec"]["rayClusterConfig"]
    return {"head": cluster["headGroupSpec"], **{each["groupName"]: each for each in cluster["workerGroupSpecs"]}}


def container(group: dict[str, Any]) -> dict[str, Any]:
    (only,) = group["template"]["spec"]["containers"]
    return only  # type: ignore[no-any-return]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def by_name(application: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The deployments of an application."""
    return {each["name"]: each for each in application["deployments"]}


def deployments() -> dict[str, dict[str, Any]]:
    return by_name(read_serve_file(CONFIG)["applications"][0])


def test_the_application_is_that_of_serve_config_but_for_the_documented_differences() -> None:
    ours, reference = read_serve_file(CONFIG), read_serve_file(ROOT / "serve_config.yaml")
    assert ours["http_options"].pop("host") == "0.0.0.0"
    assert reference["http_options"].pop("host") == "127.0.0.1"
    (application,), (documented,) = ours.pop("applications"), reference.pop("applications")
    assert ours == reference
    settings, defaults = parse_settings(application.pop("args")), parse_settings(documented.pop("args"))
    assert settings.ledger is not None
    assert settings.ledger.startswith("postgresql://")
    assert (settings.metrics.host, settings.metrics.port) == ("0.0.0.0", 14053)
    assert settings.model_copy(update={"ledger": None, "metrics": defaults.metrics}) == defaults
    scorers = [by_name(each)["ClipScorer"]["ray_actor_options"] for each in (application, documented)]
    assert [each.pop("num_cpus") for each in scorers] == [0, 1]
    ingresses = [by_name(each)["Ingress"] for each in (application, documented)]
    assert [each.pop("max_surge_percent") for each in ingresses] == [50, 100]
    assert ingresses[0].pop("max_replicas_per_node") == 1
    assert application == documented


def test_the_operator_and_the_pods_get_the_same_configuration(manifests: list[Manifest]) -> None:
    text = CONFIG.read_text("utf-8")
    assert one(manifests, "RayService", "pictwarden")["spec"]["serveConfigV2"] == text
    assert one(manifests, "ConfigMap", "pictwarden")["data"] == {"serve_config.yaml": text}


def exported(script: str, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment of the command that ends a script."""
    done = subprocess.run(
        ["/bin/sh", "-ec", script], capture_output=True, text=True, timeout=50, check=True, cwd=ROOT, env=environment
    )
    return dict(each.split("=", 1) for each in done.stdout.split("\0") if "=" in each)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `python` is this one, and `ray` prints its environment."""
    for name, does in {"python": f'exec {sys.executable} "$@"', "ray": 'PICTWARDEN_ARGUMENTS="$*" exec env -0'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}:/usr/bin:/bin"


def test_every_group_starts_ray_in_one_way(rayservice: Manifest) -> None:
    starts = [{part: container(each)[part] for part in START} for each in groups(rayservice).values()]
    assert len(starts) == 3
    assert all(each == starts[0] for each in starts)


def test_every_ray_process_has_the_environment_that_the_documented_command_prints(
    rayservice: Manifest, path: str, tmp_path: Path
) -> None:
    only = container(groups(rayservice)["head"])
    assert only["command"] == ["tini", "--", "/bin/sh", "-ec"]
    (script,) = only["args"]
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("PICTWARDEN_SECRETS", "PGPASSWORD"):
        (secrets / name).write_text("a-secret-of-the-tests", "ascii")
    script = script.replace("/etc/pictwarden/serve_config.yaml", str(CONFIG)).replace(SECRETS, str(secrets))
    variables = {each["name"]: each["value"] for each in only["env"]}
    with private_folder() as parent:
        folder = parent / "f"
        given = {"PATH": path, **variables, "PICTWARDEN_FOLDER": str(folder)}
        # As KubeRay's operator writes it: flags that the shell has to evaluate among them.
        generated = "ray start  --block  --redis-password=$REDIS_PASSWORD  --resources='{\"a\":1}' "
        started = exported(
            script, tmp_path, {**given, "KUBERAY_GEN_RAY_START_CMD": generated, "REDIS_PASSWORD": "of-redis"}
        )
        assert started["PICTWARDEN_ARGUMENTS"] == (
            f'start --block --redis-password=of-redis --resources={{"a":1}} --temp-dir={folder}/ray'
        )
        assert read_secrets("PICTWARDEN_SECRETS", started) == ("a-secret-of-the-tests",)
        assert read_secret("PGPASSWORD", started) == "a-secret-of-the-tests"
        documented = f'eval "$(python -m deployments.cluster_environment {CONFIG})"; env -0'
        wanted = exported(documented, tmp_path, given)
    assert {name: started[name] for name in wanted if name != "_"} == {
        name: value for name, value in wanted.items() if name != "_"
    }


def test_a_start_without_the_environment_fails(rayservice: Manifest, path: str) -> None:
    only = container(groups(rayservice)["head"])
    (script,) = only["args"]
    with private_folder() as parent:
        given = {"PATH": path, "PICTWARDEN_FOLDER": str(parent / "f"), "KUBERAY_GEN_RAY_START_CMD": "ray start"}
        done = subprocess.run(
            ["/bin/sh", "-ec", script.replace("/etc/pictwarden/serve_config.yaml", "/nowhere.yaml")],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            cwd=ROOT,
            env=given,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nowhere.yaml" in done.stderr


def test_pictures_go_to_one_port_everywhere(rayservice: Manifest, plain_files: list[Manifest]) -> None:
    port = read_serve_file(CONFIG)["http_options"]["port"]
    for group in groups(rayservice).values():
        assert {"name": "serve", "containerPort": port} in container(group)["ports"]
    rules = one(plain_files, "NetworkPolicy", "ray")["spec"]["ingress"]
    among_pods, *others = rules
    assert "ports" not in among_pods
    assert among_pods["from"] == [{"podSelector": {"matchLabels": {"app": "pictwarden"}}}]
    assert [[each["port"] for each in rule["ports"]] for rule in others] == [[port], [8265, port], [14053]]


# Labels of the operator's pods, by KubeRay's chart for Helm and by its ray-operator/config/manager.
OPERATORS = (
    {"app.kubernetes.io/name": "kuberay-operator", "app.kubernetes.io/component": "kuberay-operator"},
    {"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/component": "kuberay-operator"},
)


@pytest.mark.parametrize("labels", OPERATORS, ids=["helm", "kustomize"])
def test_the_operator_is_let_in_however_it_was_installed(plain_files: list[Manifest], labels: dict[str, str]) -> None:
    (selected,) = [
        each["podSelector"]["matchLabels"]
        for rule in one(plain_files, "NetworkPolicy", "ray")["spec"]["ingress"]
        for each in rule["from"]
        if "kuberay-operator" in str(each)
    ]
    assert selected.items() <= labels.items()


def test_the_admin_api_is_reached_through_no_network() -> None:
    settings = parse_settings(read_serve_file(CONFIG)["applications"][0]["args"])
    assert settings.admin.host == "127.0.0.1"


def test_policies_and_budgets_select_the_pods_that_are_there(rayservice: Manifest, plain_files: list[Manifest]) -> None:
    # KubeRay adds ray.io/group.
    pods = {
        name: {**group["template"]["metadata"]["labels"], "ray.io/group": name}
        for name, group in groups(rayservice).items()
    }
    selected = {
        each["metadata"]["name"]: each["spec"]["selector"]["matchLabels"]
        for each in plain_files
        if each["kind"] == "PodDisruptionBudget"
    }
    assert selected.keys() == pods.keys() - {"head"}
    for name, labels in selected.items():
        assert labels.items() <= pods[name].items()
    (of_ray,) = [
        each["spec"]["podSelector"]["matchLabels"]
        for each in plain_files
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "ray"
    ]
    assert all(of_ray.items() <= labels.items() for labels in pods.values())


def test_every_secret_that_is_named_is_made(manifests: list[Manifest]) -> None:
    def named(value: Any) -> Iterator[tuple[str, str | None]]:
        if isinstance(value, dict):
            for name, each in value.items():
                if name == "secretKeyRef":
                    yield each["name"], each["key"]
                elif name == "secret":
                    yield each["secretName"], None
                elif name == "authOptions":
                    yield each["secretName"], "auth_token"
                else:
                    yield from named(each)
        elif isinstance(value, list):
            for each in value:
                yield from named(each)

    made = {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "Secret"}
    found = {pair for manifest in manifests for pair in named(manifest)}
    assert {name for name, _ in found} == made.keys()
    assert all(key is None or key in made[name] for name, key in found)


def test_a_secret_is_changed_without_a_second_cluster(rayservice: Manifest) -> None:
    """It is a file, which Kubernetes changes in running pods, and nobody but the service's group reads it."""
    for group in groups(rayservice).values():
        spec = group["template"]["spec"]
        (volume,) = [each for each in spec["volumes"] if "secret" in each]
        (mount,) = [each for each in container(group)["volumeMounts"] if each["name"] == volume["name"]]
        assert mount == {"name": volume["name"], "mountPath": SECRETS, "readOnly": True}
        assert volume["secret"]["defaultMode"] == 0o440
        assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
        assert "envFrom" not in container(group)


def test_ray_is_closed_and_its_version_is_the_one_that_is_installed(rayservice: Manifest) -> None:
    cluster = rayservice["spec"]["rayClusterConfig"]
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["rayVersion"] == version("ray")


def test_the_replicas_fit_into_the_pods(rayservice: Manifest) -> None:
    of_each = deployments()
    scaled = {name: each["autoscaling_config"] for name, each in of_each.items() if "autoscaling_config" in each}
    of = groups(rayservice)
    ingress = of_each["Ingress"]["num_replicas"]
    # A new version has as many again beside the old ones, but of the ingress replicas.
    surge = math.ceil(ingress * of_each["Ingress"]["max_surge_percent"] / 100)
    preprocessors = scaled["Preprocessor"]
    cpus = {name: int(group["rayStartParams"]["num-cpus"]) for name, group in of.items()}
    assert cpus["head"] == 0
    assert cpus["cpu"] * of["cpu"]["minReplicas"] >= ingress + surge + 2 * preprocessors["min_replicas"]
    assert cpus["cpu"] * of["cpu"]["maxReplicas"] >= ingress + surge + preprocessors["max_replicas"]
    assert of["gpu"]["minReplicas"] >= scaled["ClipScorer"]["min_replicas"]
    assert of["gpu"]["maxReplicas"] > scaled["ClipScorer"]["max_replicas"]


def test_a_replica_fits_into_the_pods_of_one_group_alone(rayservice: Manifest) -> None:
    """Serve spreads replicas over all nodes that have room: one that takes a scorer's place would keep it out."""
    room = {
        name: {kind: int(group["rayStartParams"].get(f"num-{kind}", 0)) for kind in ("cpus", "gpus")}
        for name, group in groups(rayservice).items()
    }
    fits = {
        name: [
            group
            for group, has in room.items()
            if all(has[kind] >= each["ray_actor_options"].get(f"num_{kind}", 0) for kind in has)
        ]
        for name, each in deployments().items()
    }
    assert fits == {"Ingress": ["cpu"], "Preprocessor": ["cpu"], "ClipScorer": ["gpu"]}
    asked = deployments()["ClipScorer"]["ray_actor_options"]["num_gpus"]
    assert room["gpu"]["gpus"] < 2 * asked, "one scorer for each pod"


def test_no_pod_has_all_ingress_replicas_and_no_drain_ends_the_last_one(
    rayservice: Manifest, plain_files: list[Manifest]
) -> None:
    ingress = deployments()["Ingress"]
    assert ingress["max_replicas_per_node"] == 1
    assert ingress["num_replicas"] >= 2
    pods = groups(rayservice)["cpu"]["minReplicas"]
    surge = math.ceil(ingress["num_replicas"] * ingress["max_surge_percent"] / 100)
    assert surge > 0, "an old one would stop first"
    assert pods >= ingress["num_replicas"] + surge, "a new version would wait for a pod"
    left = one(plain_files, "PodDisruptionBudget", "cpu")["spec"]["minAvailable"]
    # Of the pods that are evicted at once, some ingress replica is in none.
    assert pods - left < ingress["num_replicas"]
    assert left < pods, "no node could be drained"


@pytest.mark.parametrize("group", ["cpu", "gpu"])
def test_a_pod_has_the_time_to_answer_what_it_has(rayservice: Manifest, group: str) -> None:
    spec = groups(rayservice)[group]["template"]["spec"]
    *shell, script = container(groups(rayservice)[group])["lifecycle"]["preStop"]["exec"]["command"]
    assert shell == ["/bin/sh", "-ec"]
    assert script == "sleep 5; python -m deployments.drain /etc/pictwarden/serve_config.yaml"
    deadline_s = parse_settings(read_serve_file(CONFIG)["applications"][0]["args"]).deadline_s
    assert spec["terminationGracePeriodSeconds"] > drain_limit_s(deadline_s) + MOVE_LIMIT_S + PRE_STOP_MARGIN_S


def test_the_drain_of_a_node_without_a_front_end_ends_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deployments.drain", str(CONFIG)]
    with private_folder() as folder:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            cwd=ROOT,
            env={**os.environ, "PICTWARDEN_FOLDER": str(folder)},
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_documented_url_has_the_path_of_the_service() -> None:
    text = (ROOT / "docs" / "kuberay.md").read_text("utf-8")
    assert f":14051{SCAN_PATH}/" in text


def test_a_new_policy_is_in_the_pods_before_serve_is_told(rayservice: Manifest) -> None:
    """Serve reads the file once, and Kubernetes takes its time; a mount with subPath would never get it."""
    for group in groups(rayservice).values():
        (mount,) = [each for each in container(group)["volumeMounts"] if each["name"] == "configuration"]
        assert "subPath" not in mount
        assert group["template"]["metadata"]["labels"]["app"] == "pictwarden"
    text = (ROOT / "docs" / "kuberay.md").read_text("utf-8")
    steps = (
        "under a new name to `configMapGenerator`",
        "-l app=pictwarden",
        "exec POD -- ls",
        "`policy: /etc/pictwarden/",
    )
    places = [text.index(each) for each in steps]
    assert places == sorted(places)


def test_the_image_has_no_second_name(rayservice: Manifest) -> None:
    (image,) = yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text("utf-8"))["images"]
    assert {container(group)["image"] for group in groups(rayservice).values()} == {image["name"]}
