"""Labelled production data, fed back into the dataset."""
