"""MLflow tracking that never blocks a stage."""
