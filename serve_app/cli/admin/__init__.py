"""Commands that ask the admin API of a running service: decisions, lists, purges and workers."""
