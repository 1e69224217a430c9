"""Bytes to views: sniff, decode under limits, sample frames, cut views. The only room that imports Pillow."""

from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_plugins import require_decoders
from serve_app.media.preprocess import preprocess

__all__ = ["MediaLimits", "preprocess", "require_decoders"]
