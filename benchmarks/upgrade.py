"""Who notices a new version, the way back, or more and fewer replicas. Starts its own nodes.

Three Ray nodes on this machine serve what serve_config.yaml asks for, with the demo model on the CPU and PostgreSQL as
ledger, in the environment of a cluster. Under a share of its capacity the application is changed, step by step: another
policy, whose prompts the scorers of the first one do not know; back to the first; other code; back to the first code; a
replica more of each deployment; one less. A request has *failed* if it had no answer, or a 5xx.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
import yaml

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import in_time, validity
from benchmarks.command import Out, Run, Seed, console, give_up, require_goodput
from benchmarks.faults import under_load
from benchmarks.load import Target
from benchmarks.nodes import Nodes
from benchmarks.postgres import running_server, server_folder
from benchmarks.record import Check, at_most
from benchmarks.recovery import Struck, recovery_table
from benchmarks.served import DEPLOYMENTS, Service, served, wait_until
from benchmarks.servers import REPOSITORY
from deployments.ray_environment import FAST_SETTINGS
from serve_app.policy import shipped_text

_NODES = 3
_REPLICAS = {"Ingress": 2, "Preprocessor": 2, "ClipScorer": 1}
_LOAD_SHARE = 0.25
_SATURATED_S = 8.0
_STEP_S = 90.0
_WHOLE_TIMEOUT_S = 120.0

# Serve's default holds on a cluster: an ingress replica that is replaced stays until load balancers know of it.
_HARD_STOP = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
_OF_A_CLUSTER = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "30", _HARD_STOP: FAST_SETTINGS[_HARD_STOP]}


@dataclass(frozen=True, slots=True)
class Version:
    """What is deployed.

    Attributes:
        policy: its file; None for the preset ``demo``.
        code: the folder that is before all others on Python's path.
        more: how many replicas of each deployment beside those of serve_config.yaml.
    """

    policy: Path | None = None
    code: Path | None = None
    more: int = 0

    def replicas(self) -> dict[str, int]:
        """Of each deployment."""
        return {name: count + self.more for name, count in _REPLICAS.items()}

    def configuration(self, port: int, ledger: str) -> dict[str, Any]:
        """serve_config.yaml, for this machine."""
        config: dict[str, Any] = yaml.safe_load((REPOSITORY / "serve_config.yaml").read_text("utf-8"))
        # One front end, and reachable from other nodes: see benchmarks.served.
        config["proxy_location"] = "HeadOnly"
        config["http_options"] |= {"host": "0.0.0.0", "port": port}  # noqa: S104 - see above
        (application,) = config["applications"]
        # Of the arguments those that differ from the defaults, since other code may not know all.
        of_model = {"device": "cpu", "cpu_threads": 1}
        chosen = {"policy": str(self.policy)} if self.policy else {"preset": "demo"}
        application["args"] = {**chosen, "model": of_model, "ledger": ledger}
        if self.code is not None:
            # Set to nothing is not set: by what Python leaves beside the code is known that it runs.
            in_it = {"PYTHONPATH": str(self.code), "PYTHONDONTWRITEBYTECODE": ""}
            application["runtime_env"] = {"env_vars": in_it}
        for deployment in application["deployments"]:
            deployment["ray_actor_options"] = {"num_cpus": 0.1}
            count = self.replicas()[deployment["name"]]
            if scaling := deployment.get("autoscaling_config"):
                scaling |= {"min_replicas": count, "max_replicas": count}
            else:
                deployment["num_replicas"] = count
        return config


def bench(
    other: Annotated[
        str | None, typer.Option(help="The commit of the other code; by default a copy of the code that is here.")
    ] = None,
    load_share: Annotated[float, typer.Option(min=0.01, max=1, help="Of capacity.")] = _LOAD_SHARE,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a request failed, was late or doubled, or a change was not carried out in time."""
    programs = server_folder()
    if programs is None:
        give_up("PostgreSQL is not installed here: install Debian's package postgresql")
    run = Run("upgrade", seed, out)
    changed: list[Struck] = []
    with contextlib.ExitStack() as ended:
        folder = Path(ended.enter_context(tempfile.TemporaryDirectory(prefix="pw-upgrade-")))
        database = ended.enter_context(running_server(programs))
        database.execute("CREATE DATABASE pictwarden")
        first = Version()
        prompts = Version(other_policy(folder))
        code = Version(code=other_code(folder / "code", other))
        steps = (
            ("another policy", prompts),
            ("back to the first policy", first),
            (f"other code ({other or 'a copy'})", code),
            ("back to the first code", first),
            ("a replica more of each", Version(more=1)),
            ("a replica less of each", first),
        )
        console.print(f"starting {_NODES} nodes with the service")
        # Ray puts the working directory of who drives it before everything on its workers' path, other code included.
        ended.enter_context(contextlib.chdir(folder))
        cluster, service = ended.enter_context(served("", 1, _OF_A_CLUSTER))
        cluster.add(_NODES - 1)
        ledger = database.url("pictwarden")
        service.apply(first.configuration(service.port, ledger), first.replicas())
        service.require_whole()
        target = Target(service.url, pictures_of(Size.KB_200, seed))
        saturated = load.saturate(target, load.FEWEST_CONNECTIONS, _SATURATED_S)
        rate_per_s = load_share * require_goodput(saturated).goodput_per_s
        console.print(f"the load is {rate_per_s:.1f} pictures/s, {load_share:.0%} of capacity")
        before = first
        for told, version in steps:
            console.print(told)
            arrivals_s = load.poisson_arrivals_s(rate_per_s, _STEP_S, seed)
            step = _Step(cluster, service, before, version, ledger)
            changed.append(under_load(told, target, arrivals_s, step.take))
            before = version
    loads = [each.load for each in changed]
    checks = [*in_time(loads), *map(came_up, changed), *validity(loads)]
    run.finish("Upgrade", [recovery_table("Changes under load", changed)], checks)


def came_up(change: Struck) -> Check:
    """That the whole change was carried out while the load lasted."""
    left_s = _STEP_S - change.fault_s
    return at_most(f"{change.load.name}: all of it runs after", change.whole_after_s, left_s, "s", 1)


@dataclass(frozen=True, slots=True)
class _Step:
    cluster: Nodes
    service: Service
    before: Version
    version: Version
    ledger: str

    def take(self) -> bool:
        """Deploy, and wait until the replicas of the version before are gone and all of this one run."""
        replaced = self._replicas() if self._replaces_all() else []
        self.service.apply(self.version.configuration(self.service.port, self.ledger), self.version.replicas())
        return wait_until(
            lambda: (
                not any(each.is_running() for each in replaced) and self.service.is_whole() and self._has_imported()
            ),
            _WHOLE_TIMEOUT_S,
        )

    def _has_imported(self) -> bool:
        """Whether the code of this version runs: Python leaves what it has compiled beside it."""
        return self.version.code is None or any(self.version.code.glob("deployments/__pycache__/ingress.*.pyc"))

    def _replaces_all(self) -> bool:
        return (self.version.policy, self.version.code) != (self.before.policy, self.before.code)

    def _replicas(self) -> list[psutil.Process]:
        return [each for name in DEPLOYMENTS for each in self.cluster.replicas(name)]


def other_policy(folder: Path) -> Path:
    """A policy for the same model, with a prompt that the first one does not have."""
    file = folder / "policy.yaml"
    file.write_text(shipped_text("demo-red-triangle").replace("a heart", "an arrow"), "utf-8")
    return file


def other_code(folder: Path, commit: str | None) -> Path:
    """The packages of the application as of a commit, or as they are here."""
    packages = ["serve_app", "deployments"]
    folder.mkdir()
    if commit is None:
        for name in packages:
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        return folder
    archive = subprocess.run(["git", "archive", commit, *packages], cwd=REPOSITORY, check=True, capture_output=True)  # noqa: S607 - from the path
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder
