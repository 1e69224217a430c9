"""HTTP: the routes of each protocol, authentication, and bodies read under limits."""

from serve_app.http.app import create_app

__all__ = ["create_app"]
