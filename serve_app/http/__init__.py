"""HTTP: the routes of each protocol, who may ask, and bodies read under limits. The only room with FastAPI."""

from serve_app.http.app import create_app

__all__ = ["create_app"]
