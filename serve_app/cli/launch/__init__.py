"""What every command that runs for long needs, `make run` included: its file, its address, its secrets and its end."""
