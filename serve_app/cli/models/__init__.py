"""Commands over models: fetching, converting, comparing; and the engine of a policy, in the process of a command."""
