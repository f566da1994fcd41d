"""How often our statistics are wrong, on data whose truth is known."""
