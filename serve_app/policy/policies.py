"""The policies of a service: which one judges the pictures of which source, and which one is on trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from serve_app.domain import HeadFile
from serve_app.policy.schema import Policy, heads_of, labels_of


@dataclass(frozen=True, slots=True)
class Policies:
    """The service's policy, those of sources that have their own, by name, and the one on trial."""

    of_service: Policy
    of_sources: Mapping[str, Policy] = field(default_factory=dict)
    shadow: Policy | None = None

    def of(self, source: str) -> Policy:
        """The policy for the pictures of ``source``."""
        return self.of_sources.get(source, self.of_service)

    @property
    def deciding(self) -> tuple[Policy, ...]:
        """All but the one on trial; the service's is the first."""
        return (self.of_service, *self.of_sources.values())

    @property
    def each(self) -> tuple[Policy, ...]:
        """Of those that decide, the ones that differ in what they mean."""
        return tuple({policy.digest: policy for policy in self.deciding}.values())

    @property
    def label_sets(self) -> tuple[tuple[str, ...], ...]:
        """The labels that pictures are scored for: the service's with those of the one on trial, and each source's."""
        return (labels_of(self.of_service, self.shadow), *(policy.labels for policy in self.of_sources.values()))

    @property
    def heads(self) -> dict[str, HeadFile]:
        """The heads among the labels of all, and their files."""
        return heads_of(self.of_service, self.shadow, *self.of_sources.values())

    @property
    def digests(self) -> str:
        """One text for all that can change a judgement, to be compared with an earlier one."""
        of_sources = {name: policy.digest for name, policy in sorted(self.of_sources.items())}
        return json.dumps([self.of_service.digest, of_sources])
