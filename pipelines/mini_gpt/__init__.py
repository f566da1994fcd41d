"""mini_gpt: a language model of characters or byte pairs."""
