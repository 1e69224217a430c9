"""Ray Serve's front end on each node: its HAProxy, amended, supervised, and stopped after its last answer."""
