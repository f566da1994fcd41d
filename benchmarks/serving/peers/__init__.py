"""The other software, each with the same bundle behind it."""
