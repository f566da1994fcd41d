"""Deployments, images, Lambda and stacks."""
