"""Scorers elsewhere: workers connect to a front, say what they are, and score the views that it sends them.

The messages that both sides speak, and the front's side: a fleet of workers, the trust in them, and what it makes of
them. The worker's side is :mod:`serve_app.worker`.
"""
