"""How far verdicts can be relied on: thresholds under a budget of false positives, and rates with their intervals.

Pure arithmetic over scored pictures. It uses policies and the search for near-duplicates, and knows neither engines nor
the command line.
"""
