"""Files of every type that pict-rs sends, made when they are asked for: one module for each type."""
