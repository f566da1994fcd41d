"""Who may ask, and how often: keys, tokens, limits."""
