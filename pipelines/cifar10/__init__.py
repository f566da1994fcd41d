"""CIFAR-10: photographs in ten classes."""
