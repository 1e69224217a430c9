"""The commands that run until they are stopped, and what those need, `make run` included."""
