"""Speed of the engine against what its users would write by hand, from one command: `python -m benchmarks.run`."""
