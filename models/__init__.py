"""Networks, one file per architecture, and nothing else."""
