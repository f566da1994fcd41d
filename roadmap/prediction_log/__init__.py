"""What was asked and answered in production, and the labels that came later."""
