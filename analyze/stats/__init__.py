"""Estimators: pure functions of NumPy arrays that return frozen dataclasses. One estimator per module."""
