"""Training of sweeps: `generate.protocol` says what is trained, `generate.datasets` on what."""
