"""Model evaluation: scores, slices, behavioural checks, classical baselines, plots."""
