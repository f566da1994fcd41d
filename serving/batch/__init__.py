"""Batch inference: files that are larger than memory through a project's predictor, see `python -m serving.batch`."""
