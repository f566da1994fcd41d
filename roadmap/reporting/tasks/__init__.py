"""The data report of each kind of task."""
