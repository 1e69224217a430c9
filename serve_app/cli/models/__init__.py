"""Commands over models, which run an engine of their own: fetching, converting, comparing."""
