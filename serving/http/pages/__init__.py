"""Pages for people: the playground, the API reference, and the status of every project."""
