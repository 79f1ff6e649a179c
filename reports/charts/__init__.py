"""Figures as pure functions from frames to charts, one per file."""
