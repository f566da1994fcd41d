"""The pipeline machinery. It depends on no project; docs/en/concepts.md lists its packages."""
