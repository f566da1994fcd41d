"""Tokenizers: byte-pair encoding written to be read, the library's others, and how to compare them."""
