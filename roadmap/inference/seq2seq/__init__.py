"""Sequence to sequence: an encoder, and a decoder that writes token by token from its cache. No torch."""
