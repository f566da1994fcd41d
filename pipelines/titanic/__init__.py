"""Titanic: binary classification on a table."""
