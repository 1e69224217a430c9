"""HTTP: routes, authentication, and the only map from domain errors to status codes. The only room with FastAPI."""

from serve_app.http.app import create_app

__all__ = ["create_app"]
