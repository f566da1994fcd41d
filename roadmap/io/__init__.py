"""The edges of every program here: its command line, its errors, files written whole, and requests over HTTP."""
