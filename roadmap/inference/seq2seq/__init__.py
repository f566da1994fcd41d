"""Sequence to sequence in ONNX Runtime: an encoder, and a decoder that writes token by token with its cache. No torch."""
