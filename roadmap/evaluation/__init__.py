"""How good a model is: scores, slices, behavioural checks, classical baselines, plots."""
