"""Decoder-only language models: GPT-2, and LLaMA with its relatives."""
