"""A promoted bundle as a model that strangers can use: files, cards, and the hub they go to."""
