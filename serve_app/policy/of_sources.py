"""Which policy judges the pictures of which source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from serve_app.policy.schema import Policy


@dataclass(frozen=True, slots=True)
class SourcePolicies:
    """The service's policy, and those of sources that have their own, by name."""

    of_service: Policy
    of_sources: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, source: str) -> Policy:
        """The policy for the pictures of ``source``."""
        return self.of_sources.get(source, self.of_service)

    @property
    def each(self) -> tuple[Policy, ...]:
        """Those that differ in what they mean."""
        return tuple({policy.digest: policy for policy in (self.of_service, *self.of_sources.values())}.values())

    @property
    def digests(self) -> str:
        """One text for all that can change a judgement, to be compared with an earlier one."""
        of_sources = {name: policy.digest for name, policy in sorted(self.of_sources.items())}
        return json.dumps([self.of_service.digest, of_sources])
