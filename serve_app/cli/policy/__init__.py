"""``pictwarden policy``: policies are checked, explained and replayed."""
