"""Language models: prompts in, continuations out, many at once and piece by piece."""
