"""Language models: prompts in, continuations out, batched and streamed."""
