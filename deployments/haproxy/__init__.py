"""Ray Serve's front end on each node: its HAProxy, amended, supervised and stopped after what is inside is answered."""
