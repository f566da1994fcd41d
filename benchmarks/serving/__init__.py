"""The server, batch inference and decoding, beside other software that does the same."""
