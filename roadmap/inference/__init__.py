"""Building blocks of predictors: NumPy and ONNX Runtime, no torch."""
