"""MLflow, told what a stage does without the stage waiting for it."""
