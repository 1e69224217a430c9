"""How far verdicts can be relied on, measured over pictures: two engines compared under one policy.

It uses the media, the models and the policy, and knows neither HTTP nor the command line.
"""

from serve_app.calibration.comparison import Comparison, Difference, Disagreement, Side, compare, outcomes, views_of

__all__ = ["Comparison", "Difference", "Disagreement", "Side", "compare", "outcomes", "views_of"]
