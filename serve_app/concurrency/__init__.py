"""Who waits for whom: threads that can be left behind, work that is done together, and turns."""
