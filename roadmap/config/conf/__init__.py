"""Hydra's own settings; the parameters are in params.yaml."""
