"""Training against the usual scripts, and what official data is worth."""
