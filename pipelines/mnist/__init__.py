"""MNIST: handwritten digits."""
