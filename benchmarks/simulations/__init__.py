"""Error rates of our statistics, on data with a known ground truth."""
