"""What predictors are made of. NumPy and ONNX Runtime, no torch."""
