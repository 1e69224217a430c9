"""Makes ``serve_app/models/demo/model``: captions for drawn pictures, and the training."""
