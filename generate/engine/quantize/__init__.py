"""Fake quantization to 8 bits: observers, and the rounding of tensors."""
