"""Reads a page of metrics as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from serve_app.metrics import CollectorRegistry, page_text

Labels = tuple[tuple[str, str], ...]
Samples = dict[str, dict[Labels, float]]
"""By name and labels."""


def samples(page: bytes | CollectorRegistry) -> Samples:
    """What a page says, or the page of a registry."""
    text = page_text(page) if isinstance(page, CollectorRegistry) else page
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for each in family.samples:
            found.setdefault(each.name, {})[labels(**each.labels)] = each.value
    return found


def labels(**values: str) -> Labels:
    """As :func:`samples` has them."""
    return tuple(sorted(values.items()))
