"""The data reports, by type of task."""
