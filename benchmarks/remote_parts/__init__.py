"""What is between a front and its workers, and workers of a set speed: parts of a benchmark, and of tests."""
