"""From arrays to a trained network and its ONNX graphs."""
