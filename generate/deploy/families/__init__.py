"""What each family needs to leave minarch: its ONNX graph and its module as text."""
