"""Benchmarks and simulations, each a command: `python -m benchmarks.<package>.<name>`."""
