"""Drift monitoring: do production requests and predictions still look like those of the test set?

reference/   requests and responses -> columns; their distribution on the test rows, kept in the bundle
drift        compares a window of the prediction log with the reference
"""
