"""IMDB: the sentiment of texts."""
