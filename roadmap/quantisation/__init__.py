"""Bundles in another precision: the graphs, the rows that calibrate them, and how sensitive each layer is. No torch."""
