"""Trained networks as files that run elsewhere: what they compute in integers, and as C."""
