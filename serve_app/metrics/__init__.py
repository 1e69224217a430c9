"""The metrics of a service, as Prometheus reads them: what is counted, and the page that tells it.

Every process of a service counts in a registry of its own. ``docs/metrics.md`` has a table of all metrics.
"""

from prometheus_client import CollectorRegistry

from serve_app.metrics.answers import AnswerTimes
from serve_app.metrics.decisions import DecisionCounts
from serve_app.metrics.exposition import PageApp, page_app, page_text
from serve_app.metrics.front import FrontMetrics
from serve_app.metrics.node_page import SNAPSHOT_EVERY_S, NodePage
from serve_app.metrics.stage_times import StageTimes
from serve_app.metrics.stages import watch_decoding, watch_scoring
from serve_app.metrics.workers import watch_workers

__all__ = [
    "SNAPSHOT_EVERY_S",
    "AnswerTimes",
    "CollectorRegistry",
    "DecisionCounts",
    "FrontMetrics",
    "NodePage",
    "PageApp",
    "StageTimes",
    "page_app",
    "page_text",
    "watch_decoding",
    "watch_scoring",
    "watch_workers",
]
