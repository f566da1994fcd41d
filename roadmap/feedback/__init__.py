"""Labelled rows of production, back into the data."""
