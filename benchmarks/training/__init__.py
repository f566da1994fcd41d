"""Training compared with standard scripts, and runs on official data."""
