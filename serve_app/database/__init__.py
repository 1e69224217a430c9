"""One database for everything that is recorded: where it is, its tables, its migrations, and leases in it."""
