"""Seeded generators whose truth is known: what the sample profile learns from where no real data may be embedded."""
