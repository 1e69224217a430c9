"""serve_config.yaml deploys by `make run`: on a local Ray, with nothing but resources and the preset overridden."""

import re
from pathlib import Path

import pytest
import yaml

from .conftest import running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(local_config):
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))
    config["http_options"]["port"] = local_config["http_options"]["port"]
    application = config["applications"][0]
    application["args"]["model"] |= {"device": "cpu", "cpu_threads": 1}
    application["args"]["preset"] = "demo"
    for deployment in application["deployments"]:
        deployment["ray_actor_options"] = {"num_cpus": 0.1}
    return config


@pytest.fixture(scope="module")
def service(config, tmp_path_factory):
    with running(config, tmp_path_factory.mktemp("service"), target="run") as started:
        yield started


def test_the_cluster_configuration_gives_a_verdict(service):
    samples = ROOT / "serve_app" / "cli" / "samples"
    assert service.scan((samples / "red-triangle.png").read_bytes()).status_code == 406
    assert service.scan((samples / "blue-triangle.webp").read_bytes()).status_code == 200


def test_every_deployment_has_the_replicas_that_the_file_asks_for(service):
    assert [len(service.replicas(name)) for name in ("Ingress", "Preprocessor", "ClipScorer")] == [2, 2, 1]


def test_the_four_samples_were_shown_with_their_verdicts(service):
    shown = {line.split()[0]: line.split()[1] for line in service.output if re.match(r"[\w-]+\.(png|jpg|webp)\b", line)}
    assert shown == {
        "red-triangle.png": "reject",
        "red-circle.jpg": "accept",
        "blue-triangle.webp": "accept",
        "landscape.jpg": "accept",
    }
