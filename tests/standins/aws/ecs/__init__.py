"""ECS: its API, and the tasks behind it."""
