"""What was accepted before a list or the policy would have rejected it: found by what the ledger has."""
