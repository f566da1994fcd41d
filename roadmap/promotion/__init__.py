"""Who becomes champion: the gate, the registry, the log of every decision."""
