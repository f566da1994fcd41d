"""Models in memory: loaded, batched, replaced, and compared with challengers."""
