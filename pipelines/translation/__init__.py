"""Translation: sentences of one language in another."""
