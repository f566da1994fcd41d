"""Data sets on disk: downloads, splits, cards, tables, and the labels that production sends back."""
