"""The machinery of every project: it knows none of them. Rooms are listed in README.md."""
