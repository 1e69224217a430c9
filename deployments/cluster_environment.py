"""``python -m deployments.cluster_environment``: the environment of a cluster's Ray processes, as lines for a shell.

``eval "$(python -m deployments.cluster_environment)"`` before ``ray start``, on each node. It holds no secret.
"""

from __future__ import annotations

import shlex

from deployments.ray_environment import FAST_SETTINGS, REPLICATED_INGRESS_SETTINGS


def main() -> None:
    """Entry point."""
    for name, value in {**FAST_SETTINGS, **REPLICATED_INGRESS_SETTINGS}.items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
