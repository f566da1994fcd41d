"""Reinforcement learning, one file per algorithm."""
