"""Deploys champions: `python -m infra.deploy`."""
