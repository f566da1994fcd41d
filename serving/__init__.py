"""The HTTP server of bundles: models over HTTP, files through models, and what an operator sees of both. No torch."""
