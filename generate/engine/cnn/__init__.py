"""Convolutional networks on compiled kernels."""
