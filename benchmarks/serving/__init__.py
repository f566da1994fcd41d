"""The server, batch scoring and decoding, compared with similar software."""
