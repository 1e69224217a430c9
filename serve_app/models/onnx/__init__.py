"""Classifiers: networks in ONNX that answer one question about a view, without a prompt. Needs no torch."""
