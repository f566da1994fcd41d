"""Control: reinforcement learning in an environment."""
