"""Views to label scores: where a model comes from, how it is loaded, and how it computes. The only room with torch.

Importing this package imports no torch: what names a model is read by processes that never compute.
"""

from serve_app.models.source import EMBEDDED_DEMO, parse_source, source_name, source_of

__all__ = ["EMBEDDED_DEMO", "parse_source", "source_name", "source_of"]
