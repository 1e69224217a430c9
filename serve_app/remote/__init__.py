"""Scorers elsewhere: workers connect to a front, say what they are, and score the views that it sends them."""
