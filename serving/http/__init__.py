"""Routes: what is asked, what is answered, and how refusals read."""
