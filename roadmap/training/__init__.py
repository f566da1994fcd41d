"""Training: from arrays to trained networks and their ONNX graphs."""
