"""Fake quantization to few bits: observers, and the rounding of tensors."""
