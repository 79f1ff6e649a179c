"""Vision transformers on compiled kernels."""
