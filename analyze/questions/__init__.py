"""The questions that `analyze` answers, one per module; their functions are the package's public names."""
