"""Vectors in registers, tiles of them and the compiler of the kernels."""
