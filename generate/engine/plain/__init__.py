"""Plain PyTorch: the definition of every family, trained and run as it stands."""
