"""Models in memory: loading, batching, hot swap, challengers."""
