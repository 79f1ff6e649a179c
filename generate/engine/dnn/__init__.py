"""Fully connected networks on compiled kernels."""
