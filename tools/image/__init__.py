"""The images: what of an environment they leave out, what a network has to fill in, how large they are."""
