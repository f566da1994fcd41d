"""Lambda: its API, the platform around a function's image, and the runtime inside."""
