"""Pictwarden, the application: bytes of a picture in, a decision out.

Nothing in this package knows Ray. How it runs on Ray Serve is the package ``deployments``.
"""
