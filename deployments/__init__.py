"""How Pictwarden runs on Ray Serve: thin, and the only package that imports ray."""
