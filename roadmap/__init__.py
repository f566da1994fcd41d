"""The machinery of every project: it knows none of them. docs/en/concepts.md has the list of its packages."""
